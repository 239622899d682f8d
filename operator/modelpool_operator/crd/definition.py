"""The whole CustomResourceDefinition as a document: names, columns, and the schema of spec and status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpool.resources.base import NAME_PATTERN
from modelpool.resources.explain import cure_for
from modelpool.resources.spec import Metadata, ModelPoolSpec
from modelpool.resources.status import ModelPoolStatus
from modelpool_operator.crd.schema import structural_schema

GROUP = "modelpool.dev"
VERSION = "v1alpha1"
KIND = "ModelPool"
PLURAL = "modelpools"

COLUMNS: tuple[Mapping[str, Any], ...] = (
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Slots", "type": "integer", "jsonPath": ".status.slots"},
    {"name": "Hot", "type": "integer", "jsonPath": ".status.hotModels"},
    {"name": "Queued", "type": "integer", "jsonPath": ".status.queued"},
    {"name": "$/Gen", "type": "string", "jsonPath": ".status.cost.perGenerationUSD"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Ready Slots", "type": "integer", "jsonPath": ".status.readySlots", "priority": 1},
    {
        "name": "Degraded",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Degraded")].status',
        "priority": 1,
    },
    {"name": "Useful", "type": "number", "jsonPath": ".status.cost.usefulShare", "priority": 1},
    {
        "name": "Message",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].message',
        "priority": 1,
    },
)
"""What ``kubectl get mpl`` shows; with priority 1 only ``-o wide``."""


def custom_resource_definition() -> dict[str, Any]:
    """The CustomResourceDefinition, ready to be written as YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mpl"],
                "categories": ["modelpool"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [dict(column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": _pool_schema()},
                }
            ],
        },
    }


def _pool_schema() -> dict[str, Any]:
    return {
        "description": "A pool of GPUs and the diffusion models that share them: which GPUs and models there are, and the "
        "policies between them. The operator decides which model sits where.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"type": "object"},
            "spec": structural_schema(ModelPoolSpec, "Which GPUs and models there are, and the policies between them."),
            "status": structural_schema(ModelPoolStatus, "What the operator found and did.", defaults=False),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.size() <= {_longest_name()}",
                "message": f"metadata.name: may have at most {_longest_name()} characters",
            },
            {
                "rule": f"self.metadata.name.matches(r'{NAME_PATTERN}')",
                "message": f"metadata.name: {cure_for(NAME_PATTERN)}",
            },
        ],
    }


def _longest_name() -> int:
    schema = Metadata.model_json_schema()["properties"]["name"]
    return int(schema["maxLength"])
