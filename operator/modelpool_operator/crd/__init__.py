"""The CustomResourceDefinition of ModelPool, made from the core models. Pure."""

from modelpool_operator.crd.definition import custom_resource_definition

__all__ = ["custom_resource_definition"]
