"""What a slot's last hour went into, and what came out of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from modelpool.documents import Spent

BUCKET_SECONDS = 60.0
BUCKETS = 60


@dataclass(slots=True)
class _Bucket:
    number: int
    seconds: dict[str, float] = field(default_factory=dict)
    generations: int = 0


class Ledger:
    """Sums over the last hour, a minute more or less."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS)

    def spend(self, activity: str, seconds: float) -> None:
        """So many seconds have just gone into ``activity``, a field of :class:`Spent`."""
        bucket = self._bucket()
        bucket.seconds[activity] = bucket.seconds.get(activity, 0.0) + seconds

    def delivered(self) -> None:
        """One more picture or video has reached whoever asked for it."""
        self._bucket().generations += 1

    def spent(self) -> Spent:
        """The sums."""
        oldest = self._number() - BUCKETS
        recent = [bucket for bucket in self._buckets if bucket.number > oldest]
        names = {name for bucket in recent for name in bucket.seconds}
        sums = {name: round(sum(bucket.seconds.get(name, 0.0) for bucket in recent), 1) for name in sorted(names)}
        return Spent.model_validate({**sums, "generations": sum(bucket.generations for bucket in recent)})

    def _number(self) -> int:
        return int(self._monotonic() // BUCKET_SECONDS)

    def _bucket(self) -> _Bucket:
        number = self._number()
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]
