"""When a status is worth writing: at once for a change of state, now and then for figures, never for nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelpool.resources.status import ModelPoolStatus

_NUMBERS = re.compile(r"\d+([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often at most, in milliseconds."""

    state_ms: int
    """Between two writes, whatever has changed."""
    figures_ms: int
    """Since the last write, when nothing but figures has changed."""
    sign_of_life_ms: int | None = None
    """Since the last write, when nothing at all has changed; None: never."""


def due_in(pace: Pace, old: ModelPoolStatus | None, new: ModelPoolStatus) -> int | None:
    """In how many milliseconds ``new`` may be written when ``old`` was last; 0: now, None: there is no reason to."""
    if old is None:
        return 0
    age = new.updated_at - old.updated_at
    if old.model_copy(update={"updated_at": new.updated_at}) == new:
        return None if pace.sign_of_life_ms is None or age < pace.sign_of_life_ms else 0
    return max(0, (pace.figures_ms if _state(old) == _state(new) else pace.state_ms) - age)


def _state(status: ModelPoolStatus) -> ModelPoolStatus:
    """Without figures, also those within sentences."""
    return status.model_copy(
        update={
            "queued": 0,
            "cost": None,
            "updated_at": 0,
            "conditions": tuple(c.model_copy(update={"message": _plain(c.message)}) for c in status.conditions),
            "gpus": tuple(gpu.model_copy(update={"reason": _plain(gpu.reason), "since": 0}) for gpu in status.gpus),
            "models": tuple(
                model.model_copy(
                    update={
                        "queued": 0,
                        "per_minute": 0.0,
                        "forecast_per_minute": 0.0,
                        "load_seconds": None,
                        "weights": "",
                        "last_failure": _plain(model.last_failure or ""),
                    }
                )
                for model in status.models
            ),
        }
    )


def _plain(sentence: str) -> str:
    return _NUMBERS.sub("0", sentence)
