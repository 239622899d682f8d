"""The simulated engine's timings: plain values, so that a configuration can carry them without importing an engine."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. A step of a batch of b takes ``max(step, step_fixed + b·step_each)``."""

    load: float = 0.0
    to_hot: float = 0.0
    to_warm: float = 0.0
    step: float = 0.0
    step_fixed: float = 0.0
    step_each: float = 0.0
    fail_loads: frozenset[str] = field(default_factory=frozenset)
    """Models that cannot be loaded."""

    def step_seconds(self, batch: int) -> float:
        """One step of a batch."""
        return max(self.step, self.step_fixed + batch * self.step_each)

    @classmethod
    def parse(cls, text: str) -> Timings:
        """``load=0.5,step=0.05``; empty for none.

        :raises ValueError: an unknown name or no number.
        """
        known = {found.name for found in fields(cls)} - {"fail_loads"}
        values: dict[str, float] = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in known:
                raise ValueError(f"{name!r} is no timing; known are {', '.join(sorted(known))}")
            values[name] = float(value)
        return cls(**values)  # type: ignore[arg-type]  # fail_loads is not among the names
