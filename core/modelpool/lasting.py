"""Keys in Redis that have no time to live. Every other key of modelpool's expires by itself; a test looks."""

from __future__ import annotations

import re

LASTING = (
    r"mpl:pools",
    r"mpl:\{[^}]+\}:(catalog|epoch|status)",
    r"mpl:\{[^}]+\}:slot:[^:]+:assignment",
    r"mpl:\{door\}:keys",  # the ids of issued keys
    r"mpl:\{door\}:key:[0-9a-f]{12}",  # an account's or an issued key's record
)
_LASTING = re.compile("|".join(LASTING))


def is_lasting(key: str) -> bool:
    """Whether ``key`` may stay for ever."""
    return _LASTING.fullmatch(key) is not None
