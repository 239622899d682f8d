"""When a status is worth writing: at once for a change of state, now and then for figures, never for nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from modelpool.resources.status import ModelPoolStatus

_NUMBERS = re.compile(r"\d+([.,]\d+)?")
_FIGURES: Any = {
    "queued": True,
    "cost": True,
    "updated_at": True,
    "gpus": {"__all__": {"since"}},
    "models": {"__all__": {"queued", "per_minute", "forecast_per_minute", "load_seconds", "weights"}},
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How often at most, in milliseconds."""

    state_ms: int
    """Between two writes, whatever has changed."""
    figures_ms: int
    """Since the last write, when nothing but figures has changed."""
    sign_of_life_ms: int | None = None
    """Since the last write, when nothing at all has changed; None: never."""


def due_in(pace: Pace, old: ModelPoolStatus | None, new: ModelPoolStatus, age: int) -> int | None:
    """In how many milliseconds ``new`` may be written when ``old`` was ``age`` milliseconds ago; 0: now, None: no reason to.

    A negative age, after the clock was set back, says nothing: it is as if it were long ago.
    """
    if old is None:
        return 0
    if old.model_copy(update={"updated_at": new.updated_at}) == new:
        return None if pace.sign_of_life_ms is None or 0 <= age < pace.sign_of_life_ms else 0
    if not 0 <= age < pace.figures_ms:
        return 0
    return max(0, (pace.figures_ms if _state(old) == _state(new) else pace.state_ms) - age)


def _state(status: ModelPoolStatus) -> dict[str, Any]:
    """Without figures, also those within sentences."""
    state = status.model_dump(exclude=_FIGURES)
    for owner, sentence in (("conditions", "message"), ("gpus", "reason"), ("models", "last_failure")):
        for one in state[owner]:
            one[sentence] = _NUMBERS.sub("0", one[sentence] or "")
    return state
