"""How long to wait before a crashed process is started again. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOffPolicy:
    """Seconds: the first delay, doubled by each crash up to ``longest``, forgotten after ``healthy_after`` of life."""

    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    healthy_after: float = 30.0


class BackOff:
    """Counts crashes in a row. A process that lived ``healthy_after`` starts again at the first delay."""

    def __init__(self, policy: BackOffPolicy | None = None) -> None:
        self.policy = policy or BackOffPolicy()
        self.crashes = 0

    def crashed(self, lived: float) -> float:
        """Note a crash after ``lived`` seconds of life; returns the seconds to wait."""
        if lived >= self.policy.healthy_after:
            self.crashes = 0
        # Capped before the power is taken: a process that crashes for days must not overflow a float.
        exponent = min(self.crashes, 64)
        self.crashes += 1
        return min(self.policy.longest, self.policy.first * self.policy.factor**exponent)
