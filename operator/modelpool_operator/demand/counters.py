"""Demand from the queue's own admission counters: exact, and there before anything is scraped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelpool.queue.port import Queue
from modelpool_operator.demand.port import LAST_MINUTES, Demand
from modelpool_operator.planner.forecast import BUCKET_SECONDS, mean_rate, recent_rate

LONG_MINUTES = 24 * 60
LONG_REFRESH_MS = 600_000
"""A day's mean changes slowly, and reading it is a thousand counters."""
BUCKET_MS = int(BUCKET_SECONDS * 1000)


class CounterDemand:
    """Counts of whole minutes; the long-term mean is read every ten minutes only."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._long: Mapping[str, float] = {}
        self._asked: dict[str, int] = {}
        self._long_read_at: int | None = None

    async def read(self, now: int, window_seconds: int) -> Demand:
        """See :class:`DemandSource`."""
        if self._long_read_at is None or now - self._long_read_at >= LONG_REFRESH_MS:
            day = await self._queue.demand(LONG_MINUTES)
            self._long = {model: mean_rate(_since_first(counts)) for model, counts in day.items()}
            self._note(day, now)
            self._long_read_at = now
        minutes = max(1, min(LONG_MINUTES, window_seconds // int(BUCKET_SECONDS)))
        counts = await self._queue.demand(max(minutes, LAST_MINUTES))
        self._note(counts, now)
        return Demand(
            recent={model: recent_rate(each[-minutes:], window_seconds) for model, each in counts.items()},
            last_jobs={model: sum(each[-LAST_MINUTES:]) for model, each in counts.items()},
            long_term=self._long,
            asked_at=dict(self._asked),
            source="the queue's admission counters",
        )

    def _note(self, counts: Mapping[str, Sequence[int]], now: int) -> None:
        current = now - now % BUCKET_MS
        for model, minutes in counts.items():
            for age, count in enumerate(reversed(minutes)):
                if count:
                    self._asked[model] = max(self._asked.get(model, 0), current - age * BUCKET_MS)
                    break


def _since_first(counts: Sequence[int]) -> Sequence[int]:
    """Without the minutes before anybody asked: a pool that is an hour old has no day to look back on."""
    first = next((index for index, count in enumerate(counts) if count), len(counts))
    return counts[first:]
