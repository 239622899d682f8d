"""What every part of the resource is made of: names, money, and how fields are written."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MODEL_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
MONEY_PATTERN = r"^[0-9]{1,4}(\.[0-9]{1,6})?$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=29)]
"""A DNS label, short enough for ``pool-tier-index`` to be a pod's name and the value of a label: 63 characters."""
ModelName = Annotated[str, Field(pattern=MODEL_NAME_PATTERN, min_length=1, max_length=63)]
"""A model's name as users write it; dots are welcome (``sd-1.5``)."""


def _text_in_dollars(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(f'must be text; put it in quotes, such as "{value}"')
    if isinstance(value, str) and re.fullmatch(MONEY_PATTERN, value) is None:
        raise ValueError('must be a number, such as "0.25"')
    return value


Money = Annotated[
    Decimal,
    BeforeValidator(_text_in_dollars),
    WithJsonSchema({"type": "string", "pattern": MONEY_PATTERN, "maxLength": 11}),
]
"""An exact amount of US dollars, written as text: a number in JSON would be rounded on its way through Kubernetes."""


class Resource(BaseModel):
    """Base of everything in the resource: camelCase outside, snake_case inside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_enum_values=False
    )
