"""Kubernetes quantities (``24Gi``, ``512M``, ``1.5``) as exact numbers.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

_SUFFIX = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}
PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
_PARTS = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")


def parse_quantity(text: str) -> Decimal:
    """The exact value of a non-negative quantity.

    :raises ValueError: for anything that Kubernetes would not read as a quantity.
    """
    match = _PARTS.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write a number with an optional unit, such as 24Gi or 512M")
    number, suffix = match.groups()
    return Decimal(number) * _SUFFIX[suffix or ""]


@lru_cache(maxsize=1024)  # the operator asks for the same few again and again
def parse_bytes(text: str) -> int:
    """A quantity of memory in whole bytes, rounded up."""
    return int(parse_quantity(text).to_integral_value(rounding="ROUND_CEILING"))


def format_bytes(count: int) -> str:
    """Bytes as a short binary quantity for people: ``13.5Gi``, ``512Mi``, ``0``."""
    for suffix in ("Pi", "Ti", "Gi", "Mi", "Ki"):
        unit = int(_SUFFIX[suffix])
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + suffix
    return str(count)


def _positive_memory(text: str) -> str:
    if parse_bytes(text) <= 0:
        raise ValueError("must be more than 0, such as 24Gi")
    return text


Memory = Annotated[str, Field(pattern=PATTERN, max_length=32), AfterValidator(_positive_memory)]
"""A positive amount of memory as Kubernetes writes it."""
