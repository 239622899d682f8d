"""What one process has let in and does not see in the queue yet. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from modelpool.jobs import Lane


class Entered:
    """Expected GPU-seconds by model that go before others; kept as sums, because every request asks for them.

    Whoever adds a job says what became of it, however long that takes: it is in the queue, or it is removed.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, bool, float]] = {}
        self._in_line: set[str] = set()
        self._paid: dict[str, float] = {}
        self._all: dict[str, float] = {}

    def add(self, job: str, model: str, lane: Lane, work: float) -> None:
        """Count a job."""
        self._jobs[job] = (model, lane is Lane.PAID, work)
        self._change(model, lane is Lane.PAID, work)

    def remove(self, job: str) -> None:
        """Count it no more, if it was counted."""
        found = self._jobs.pop(job, None)
        self._in_line.discard(job)
        if found is not None:
            model, paid, work = found
            self._change(model, paid, -work)

    def queued(self, job: str) -> None:
        """The queue has it: whoever looks there from now on sees it."""
        if job in self._jobs:
            self._in_line.add(job)

    def in_line(self) -> frozenset[str]:
        """Those that a look at the queue which begins now will see."""
        return frozenset(self._in_line)

    def forget(self, seen: Collection[str]) -> None:
        """Count no more what a look at the queue has seen."""
        self._in_line -= set(seen)
        self._jobs = {job: found for job, found in self._jobs.items() if job not in seen}
        self._paid.clear()
        self._all.clear()
        for model, paid, work in self._jobs.values():
            self._change(model, paid, work)

    def in_front(self, lane: Lane) -> Mapping[str, float]:
        """What goes before a job of ``lane``, by model: paid work before paid jobs, all before the others."""
        return self._paid if lane is Lane.PAID else self._all

    def _change(self, model: str, paid: bool, work: float) -> None:
        for sums in (self._all, self._paid) if paid else (self._all,):
            sums[model] = sums.get(model, 0.0) + work
