"""From a pydantic model to a structural schema as Kubernetes wants it.

Every level has a type, nothing is referred to, every list and text of the spec is bounded (the API server estimates what
a rule costs from the bounds), and every field says what it is, with its default and range.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from modelpool.resources.explain import cure_for
from modelpool.resources.quantity import PATTERN as QUANTITY_PATTERN
from modelpool_operator.crd.rules import RULES, Rule

Schema = dict[str, Any]

LIST_KEYS: Mapping[str, str] = {
    "Tier": "name",
    "Model": "name",
    "Style": "name",
    "Condition": "type",
    "GpuStatus": "slot",
    "ModelStatus": "name",
}
"""Lists of these are maps to Kubernetes: entries merge by this field, and it occurs once."""

_BOUNDS = ("enum", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum", "pattern")
_CARRIED = {
    *_BOUNDS,
    "$ref",
    "additionalProperties",
    "default",
    "description",
    "exclusiveMinimum",
    "items",
    "title",
    "type",
}
"""What of a field finds its way into the schema; more would be lost without a word."""
_POSITIVE = Rule(
    "!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))", "must be more than 0, such as 24Gi"
)


def structural_schema(model: type[BaseModel], description: str, *, defaults: bool = True) -> Schema:
    """The schema of ``model`` and all within it. ``defaults``: whether the API server fills in what is not said.

    :raises TypeError: a field's type has no structural form, such as a union, or a bound unknown here, or it lacks a description.
    """
    document = model.model_json_schema()
    inliner = _Inliner(document.pop("$defs", {}), defaults)
    return inliner.object(model.__name__, document, description)


class _Inliner:
    """Walks a JSON schema and puts each definition where it is referred to."""

    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def object(self, name: str, schema: Schema, description: str) -> Schema:
        required = set(schema.get("required", ()))
        made: Schema = {"type": "object", "description": description, "properties": {}}
        if required:
            made["required"] = sorted(required)
        for field, raw in schema["properties"].items():
            made["properties"][field] = self._field(f"{name}.{field}", raw, optional=field not in required)
        rules = RULES.get(name, ())
        if rules:
            made["x-kubernetes-validations"] = [rule.document() for rule in rules]
        return made

    def _field(self, place: str, raw: Schema, *, optional: bool) -> Schema:
        # Pydantic leaves out a description that is the referred class's own.
        description = raw.get("description") or (self._referred(raw)[1].get("description") if "$ref" in raw else None)
        if not description:
            raise TypeError(f"{place} has no description")
        raw = _without_null(place, raw)
        made = self._value(place, raw)
        default = raw.get("default")
        if default is None and optional and "$ref" in raw and "properties" in self._referred(raw)[1]:
            default = {} if "default" not in raw else None
        if self._defaults and default is not None and default not in ([], ""):
            made["default"] = _plain(default)
        made["description"] = " ".join([description, *_facts(made)])
        return made

    def _value(self, place: str, raw: Schema) -> Schema:
        if "$ref" in raw:
            name, found = self._referred(raw)
            if "properties" in found:
                return self.object(name, found, str(raw.get("description", found.get("description"))))
            return self._value(place, found)
        kind = raw.get("type")
        if lost := sorted(set(raw) - _CARRIED):
            raise TypeError(f"{place} says {', '.join(lost)}, which is not carried over into the schema")
        made: Schema = {"type": kind, **{bound: _plain(raw[bound]) for bound in _BOUNDS if bound in raw}}
        if "exclusiveMinimum" in raw:
            made |= {"minimum": _plain(raw["exclusiveMinimum"]), "exclusiveMinimum": True}
        if kind == "array":
            made |= self._entries(place, raw["items"])
        elif kind == "object":
            made |= self._entries_by_name(place, raw)
        elif kind not in ("boolean", "integer", "number", "string"):
            raise TypeError(f"{place} has no structural form: {raw}")
        if "pattern" in made:
            made["x-kubernetes-validations"] = _text_rules(made["pattern"])
        return made

    def _entries(self, place: str, items: Schema) -> Schema:
        name = items.get("$ref", "").rpartition("/")[2]
        key = LIST_KEYS.get(name)
        kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]} if key else {}
        return {"items": self._value(f"{place}[]", items), **(kind or {"x-kubernetes-list-type": "atomic"})}

    def _entries_by_name(self, place: str, raw: Schema) -> Schema:
        values = raw.get("additionalProperties")
        if values is True:
            return {"x-kubernetes-preserve-unknown-fields": True}
        if not isinstance(values, dict):
            raise TypeError(f"{place} is an object without known fields: {raw}")
        return {"additionalProperties": self._value(f"{place}.*", values)}

    def _referred(self, raw: Schema) -> tuple[str, Schema]:
        name = raw["$ref"].rpartition("/")[2]
        return name, self._definitions[name]


def _without_null(place: str, raw: Schema) -> Schema:
    """A field that may be null is one that need not be said: null is dropped by the API server."""
    if "anyOf" not in raw:
        return raw
    kinds = [kind for kind in raw["anyOf"] if kind.get("type") != "null"]
    if len(kinds) != 1:
        raise TypeError(f"{place} is a union, which a structural schema cannot say: {raw}")
    return {**kinds[0], "default": None, "description": raw["description"]}


def _text_rules(pattern: str) -> list[dict[str, str]]:
    """A pattern that does not match is told as a regular expression; the rule says what to write instead."""
    rules = [Rule(f"self.matches(r'{pattern}')", cure_for(pattern))]
    if pattern == QUANTITY_PATTERN:
        rules.append(_POSITIVE)
    return [rule.document() for rule in rules]


def _facts(made: Schema) -> list[str]:
    """Default and range, which ``kubectl explain`` does not show of itself."""
    facts = []
    default = made.get("default")
    if isinstance(default, bool):
        facts.append(f"Default: {str(default).lower()}.")
    elif default is not None and default != {}:
        facts.append(f"Default: {', '.join(default) if isinstance(default, list) else default}.")
    if "minimum" in made and "maximum" in made:
        above = (
            f"More than {made['minimum']}, at most" if made.get("exclusiveMinimum") else f"From {made['minimum']} to"
        )
        facts.append(f"{above} {made['maximum']}.")
    if "maxItems" in made:
        facts.append(f"At most {made['maxItems']}.")
    if made["type"] == "string" and "maxLength" in made and "pattern" not in made:
        facts.append(f"At most {made['maxLength']} characters.")
    return facts


def _plain(value: Any) -> Any:
    """Whole numbers without a point, as Kubernetes writes them back."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
