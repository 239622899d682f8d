"""What is wrong with a document, in a person's words: the field as the user writes it, what is wrong, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from modelpool.resources.base import MODEL_NAME_PATTERN, MONEY_PATTERN, NAME_PATTERN
from modelpool.resources.checks import Finding
from modelpool.resources.models import SHA256_PATTERN, URI_PATTERN
from modelpool.resources.quantity import PATTERN as QUANTITY_PATTERN

Place = tuple[int | str, ...]

_PATTERN_CURES: Mapping[str, str] = {
    NAME_PATTERN: "use lower-case letters, digits and '-', starting and ending with a letter or digit",
    MODEL_NAME_PATTERN: "use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit",
    QUANTITY_PATTERN: "write a number with an optional unit, such as 24Gi or 512M",
    URI_PATTERN: "write file:///models/NAME or s3://BUCKET/KEY",
    SHA256_PATTERN: "write the 64 hexadecimal digits of a SHA-256",
    MONEY_PATTERN: 'must be a number, such as "0.25"',
}
_EXPECTED: Mapping[str, str] = {
    "string_type": 'must be text; put it in quotes, such as "{value}"',
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_parsing": 'must be a number, such as "0.25"',
    "decimal_type": 'must be a number, such as "0.25"',
    "finite_number": "must be a finite number",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "mapping_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list; start each entry with '- '",
    "list_type": "must be a list; start each entry with '- '",
    "greater_than": "must be more than {gt}; it is {value}",
    "greater_than_equal": "must be at least {ge}; it is {value}",
    "less_than": "must be less than {lt}; it is {value}",
    "less_than_equal": "must be at most {le}; it is {value}",
    "too_short": "needs at least {min_length} entry; it has {actual_length}",
    "too_long": "may have at most {max_length} entries; it has {actual_length}",
    "string_too_short": "must not be empty",
    "string_too_long": "may have at most {max_length} characters",
}


def findings_of(error: ValidationError, root: type[BaseModel]) -> list[Finding]:
    """Each problem of ``error`` as a finding; unknown fields first, because a misspelt one explains a missing one."""
    problems = sorted(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
    return [Finding(field_path(details["loc"]), _sentence(details, root)) for details in problems]


def cure_for(pattern: str) -> str:
    """What to write where the text does not match one of the resource's patterns.

    :raises KeyError: no field of the resource has this pattern.
    """
    return _PATTERN_CURES[pattern]


def field_path(place: Place) -> str:
    """``spec.tiers[1].models[0].weights``."""
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _sentence(details: ErrorDetails, root: type[BaseModel]) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind in _EXPECTED:
        return _EXPECTED[kind].format_map({**context, "value": value})
    special: Mapping[str, Callable[[], str]] = {
        "missing": lambda: "is required; add it",
        "extra_forbidden": lambda: _unknown_field(details["loc"], root),
        "enum": lambda: _one_of(value, _enum_names(context)),
        "literal_error": lambda: _one_of(value, _enum_names(context)),
        "string_pattern_mismatch": lambda: f"{value!r} cannot be used; {cure_for(str(context['pattern']))}",
        "value_error": lambda: str(context.get("error", details["msg"])),
    }
    return special[kind]() if kind in special else details["msg"][:1].lower() + details["msg"][1:]


def _unknown_field(place: Place, root: type[BaseModel]) -> str:
    model = _model_at(place[:-1], root)
    known = [field.alias or name for name, field in model.model_fields.items()] if model else []
    return f"is no field here; {_suggest(str(place[-1]), known, 'remove it, or use one of')}"


def _one_of(value: object, names: list[str]) -> str:
    return f"{value!r} is not known; {_suggest(str(value), names, 'use one of' if len(names) > 1 else 'write')}"


def _suggest(word: str, known: list[str], otherwise: str) -> str:
    """The known word that was probably meant, or all of them."""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f"did you mean {lowered[close[0]]}?" if close else f"{otherwise} {', '.join(known)}"


def _enum_names(context: Mapping[str, Any]) -> list[str]:
    """From pydantic's ``'Always', 'Rotate' or 'OnDemand'``."""
    text = str(context.get("expected", "")).replace(" or ", ", ")
    return [name.strip().strip("'") for name in text.split(",") if name.strip()]


def _model_at(place: Place, root: type[BaseModel]) -> type[BaseModel] | None:
    """The model class that describes ``place``, following aliases and list entries."""
    model: type[BaseModel] | None = root
    for part in place:
        if model is None or isinstance(part, int):
            continue
        fields = ((field.alias or name, field) for name, field in model.model_fields.items())
        found = next((field for name, field in fields if name == part), None)
        model = _model_within([found.annotation]) if found is not None else None
    return model


def _model_within(annotations: Iterable[Any]) -> type[BaseModel] | None:
    """The model class inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        inner = _model_within(get_args(annotation))
        if inner is not None:
            return inner
    return None
