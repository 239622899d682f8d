"""Who stands where: fair queueing and the choice of a batch, in plain Python.

A job waits in a *line*: ``paid`` or ``free``, one of each per model. Within a line jobs stand in the order of their
*tags*, the virtual time at which they start under start-time fair queueing, and among equal tags in the order of
arrival. A user's next job starts, in virtual time, when the one before would be done: who asks for much is far down the
line, a newcomer is at its head. The paid line goes first, always.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from modelpool.jobs import LANE_WEIGHT, JobState, Lane
from modelpool.queue.job import Job
from modelpool.queue.port import HotModel, ModelDepth
from modelpool.queue.rules import LINES, LOOK_AHEAD


class Lines:
    """The lines of one pool, and the virtual clocks that order them."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[Job]] = {}
        """By line and model, in the order of service."""
        self._reached = dict.fromkeys(LINES, 0.0)
        """V of each line: the largest virtual start time that was claimed as head of a batch."""
        self.mixing = False
        """Whether a claim has ever come from an engine that mixes parameters."""
        self._debts: dict[tuple[str, str], float] = {}
        """By line and user: the virtual time at which the user's next job may start."""
        self._served: dict[tuple[str, str, str], float] = {}
        """By line, model and user: the virtual time at which what was claimed late would be done."""

    def start(self, line: str, model: str, subject: str) -> float:
        """The tag of a new job: max(V, user_finish).

        V is never ahead of the line that the job joins: that line may have stood still while others moved on, and a
        newcomer shall not wait for all of somebody's backlog.
        """
        reached = self._reached[line]
        if standing := self._lines.get((line, model)):
            reached = min(reached, standing[0].tag)
        return max(self.debt(line, subject), reached)

    def reached(self, line: str) -> float:
        """V of a line."""
        return self._reached[line]

    def debt(self, line: str, subject: str) -> float:
        """The virtual time before which the user's next job does not start."""
        return self._debts.get((line, subject), 0.0)

    def bill(self, job: Job) -> None:
        """The user's next job starts in virtual time when this one would be done.

        Who starts ahead of V, because somebody's old job is at the head of the line, does so with one job: the next
        ones start from V.
        """
        job.billed = True
        began = max(job.tag, self._reached[job.line])
        self._debts[job.line, job.asked.subject] = began + job.asked.work / LANE_WEIGHT[job.asked.lane]

    def enter(self, job: Job) -> None:
        """Stand in line."""
        insort(self._lines.setdefault((job.line, job.model), []), job, key=lambda other: other.rank)

    def leave(self, job: Job) -> None:
        """Stand in line no more."""
        self._lines[job.line, job.model].pop(self._index(job))

    def move(self, job: Job, line: str, tag: float) -> None:
        """Another place, for a job that waits or may wait again."""
        waits = job.state is JobState.QUEUED
        if waits:
            self.leave(job)
        job.line, job.tag = line, tag
        if waits:
            self.enter(job)

    def ahead(self, job: Job) -> int:
        """How many jobs start before this one."""
        paid = self._lines.get(("paid", job.model), ()) if job.line == "free" else ()
        return len(paid) + self._index(job)

    def _index(self, job: Job) -> int:
        return bisect_left(self._lines[job.line, job.model], job.rank, key=lambda other: other.rank)

    def next_batch(self, hot: Sequence[HotModel], *, mixes: bool) -> list[Job]:
        """The head of line over the hot models decides the key; others with the same key join in their order.

        V follows the heads only: a batch mate from far behind says nothing about how far the line has come.
        """
        self.mixing = self.mixing or mixes
        heads = next(filter(None, (self._heads(line, hot) for line in LINES)), [])
        if not heads:
            return []
        beside = len(heads) > 1
        head, model = min(heads, key=lambda entry: self._rank(entry[0])) if beside else heads[0]
        batch = [head]
        room = (math.inf if model.max_work is None else model.max_work) - head.asked.work
        for job in self._mates(head, mixes=mixes):
            room -= job.asked.work
            if len(batch) >= model.cap or room < 0:
                break
            batch.append(job)
        late = [job for job in batch if beside and job.tag <= self._reached[job.line]]
        self._reached[head.line] = max(self._reached[head.line], self._turn(head) if beside else head.tag)
        for job in late:
            began = max(self._reached[job.line], self._turn(job))
            self._served[job.line, job.model, job.debtor] = began + job.asked.work / LANE_WEIGHT[job.asked.lane]
        return batch

    def _heads(self, name: str, hot: Sequence[HotModel]) -> list[tuple[Job, HotModel]]:
        """Who is first for each of the hot models in the lines of one name.

        Where there are several: of the first in a line the one whose turn comes first, so that nobody waits behind a job
        that has to wait itself.
        """
        lines = [(line, model) for model in hot if (line := self._lines.get((name, model.name)))]
        if len(lines) == 1:
            return [(line[0], model) for line, model in lines]
        return [(min(line[:LOOK_AHEAD], key=self._rank), model) for line, model in lines]

    def _rank(self, job: Job) -> tuple[float, int]:
        """Its place among those of other models."""
        return self._turn(job), job.ticket

    def _turn(self, job: Job) -> float:
        """When a job starts beside those of other models.

        A line that stood still while others moved on holds jobs from V and before. They do not all go first: of every user
        one does, and the next ones take turns with what the others' lines have come to. Each model has turns of its own:
        were they a user's in all lines, what it is given in one would pile its jobs up in front of the others in another.
        """
        if job.tag > self._reached[job.line]:
            return job.tag
        return max(job.tag, self._served.get((job.line, job.model, job.debtor), 0.0))

    def _mates(self, head: Job, *, mixes: bool) -> Iterator[Job]:
        """Who may join the head's batch: nobody a solo job's, and free jobs only when no other paid job can."""
        for line in () if head.solo else LINES[LINES.index(head.line) :]:
            for job in self._lines.get((line, head.model), ()):
                if job is not head and not job.solo and job.shares_with(head, mixes=mixes):
                    yield job

    def depth(self, model: str, running: int) -> ModelDepth:
        """What waits for one model."""
        lines = [self._lines.get((line, model), []) for line in LINES]
        lanes = [job.asked.lane for line in lines for job in line]
        return ModelDepth(
            queued=len(lanes),
            running=running,
            queued_work=sum(math.floor(job.asked.work * 1000 + 0.5) for line in lines for job in line) / 1000,
            oldest_enqueued_at=min((line[0].enqueued_at for line in lines if line), default=None),
            by_lane={lane: lanes.count(lane) for lane in Lane if lane in lanes},
        )
