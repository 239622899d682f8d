"""Compares a pool's records, sets and counters, and mends what disagrees.

Redis replicates and logs whole scripts, so that neither a crash nor a failover leaves half of one. What does: keys removed
by hand, an eviction policy, a damaged append-only file, a clock that jumped, a mistake of ours. Every problem is looked at
again inside the script that tells or mends it, so a check is exact, and safe, while the queue is at work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from redis.asyncio import Redis

from modelpool.lasting import is_lasting
from modelpool.queue.connection import unavailable
from modelpool.queue.running import ScriptRunner
from modelpool.queue.scripts import CHUNK, TICKET_DIGITS
from modelpool.resources.pool import PoolRef

RECOUNT = 10_000
"""So many jobs are counted in one script; everybody else waits for it."""
_PAGE = 500
_SETS = ("line", "batch", "shape", "due", "followers", "flight")
_ROUNDS = 1_000
"""How often a crowd of followers is moved on, a chunk at a time, before we give up."""
_WALKS = 4
"""How often a repair looks again at most."""


class Problem(StrEnum):
    """What can be wrong."""

    NOT_IN_LINE = "not in line"
    NO_DEADLINE = "no deadline"
    DEADLINE_ASTRAY = "deadline astray"
    NO_LEASE = "no lease"
    ENDLESS_LEASE = "endless lease"
    FOLLOWS_NOBODY = "follows nobody"
    LEADER_GONE = "leader gone"
    RECORD_CUT = "record cut"
    DEBT_LOST = "debt lost"
    TICKETS_BEHIND = "tickets behind"
    VIRTUAL_TIME_LOST = "virtual time lost"
    ENTRY_OF_NOBODY = "entry of nobody"
    ENTRY_ASTRAY = "entry astray"
    FLIGHT_TO_NOWHERE = "flight to nowhere"
    KEY_TO_NOWHERE = "key to nowhere"
    NO_LIFE = "no life"
    COUNTER = "counter"


MEANINGS: dict[Problem, tuple[str, str]] = {
    Problem.NOT_IN_LINE: ("queued, but not (or not rightly) in its line", "put in its place"),
    Problem.NO_DEADLINE: ("waits, but nobody would notice its deadline", "its deadline is watched again"),
    Problem.DEADLINE_ASTRAY: ("waits, but its deadline is watched at another time", "watched at the right time"),
    Problem.NO_LEASE: ("running without a lease: nobody would run it again", "lease of 30 s, or back in line"),
    Problem.ENDLESS_LEASE: ("running under a lease that ends far in the future", "lease of 30 s"),
    Problem.FOLLOWS_NOBODY: ("follows, but no job leads it", "follows an identical job, or waits itself"),
    Problem.LEADER_GONE: ("is followed, but has gone, has ended or is not known as leader", "the first follower leads"),
    Problem.RECORD_CUT: ("lacks what no job can do without", "failed, refunded as far as it can be, and removed"),
    Problem.DEBT_LOST: ("its user's virtual time is lost: the user's next job would start too early", "set again"),
    Problem.TICKETS_BEHIND: ("came later than the count of tickets says: newcomers would overtake it", "count raised"),
    Problem.VIRTUAL_TIME_LOST: (
        "a line's virtual time is lost: all of a newcomer's jobs would go first",
        "set to that of the first in line",
    ),
    Problem.ENTRY_OF_NOBODY: ("stands somewhere without a record", "entry removed"),
    Problem.ENTRY_ASTRAY: ("stands where its record says that it does not", "entry removed"),
    Problem.FLIGHT_TO_NOWHERE: ("identical jobs would follow a job that is not in flight", "removed"),
    Problem.KEY_TO_NOWHERE: ("an idempotency key that brings a job that is not there", "removed"),
    Problem.NO_LIFE: ("a key that never expires", "given a life"),
    Problem.COUNTER: ("a count that disagrees with what stands in line and runs", "counted anew"),
}
"""What is the matter, and what repair does about it."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One problem. ``what`` is a job's id, a key without the pool's prefix, or the name of a counter."""

    problem: Problem
    what: str
    mended: bool = False


@dataclass(slots=True)
class Report:
    """What a check has looked at and found."""

    pool: str
    jobs: int = 0
    entries: int = 0
    keys: int = 0
    counted: bool = True
    """False: more than :data:`RECOUNT` jobs wait and run, so the counters were not looked at."""
    findings: list[Finding] = field(default_factory=list)


class QueueCheck:
    """Checks one pool's queue. ``now`` replaces Redis's own clock, in tests only."""

    def __init__(self, pool: PoolRef, client: Redis, *, now: Callable[[], int] | None = None) -> None:
        self._pool = pool
        self._client = client
        self._run = ScriptRunner(pool, client, now)

    async def check(self, *, repair: bool = False) -> Report:
        """Look at everything, and with ``repair`` mend what is wrong. May be repeated.

        :raises QueueUnavailable: Redis is away, or refuses to write.
        """
        report = await _Walk(self._pool, self._client, self._run, repair).walk()
        if not repair:
            return report
        found = left = {(finding.problem, finding.what) for finding in report.findings}
        # Mending one thing can show another, and what is told as mended has been looked at again.
        for _ in range(_WALKS):
            if not left:
                break
            report = await _Walk(self._pool, self._client, self._run, repair).walk()
            again = {(finding.problem, finding.what) for finding in report.findings}
            if again == left:
                break
            found, left = found | again, again
        report.findings = [Finding(*each, mended=each not in left) for each in sorted(found)]
        return report


class _Walk:
    """One check on its way through the keys."""

    def __init__(self, pool: PoolRef, client: Redis, run: ScriptRunner, repair: bool) -> None:
        self._client = client
        self._prefix = pool.key("")
        self._run = run
        self._flag = "1" if repair else ""
        self._found: set[Finding] = set()
        self._report = Report(str(pool))
        self._sets: dict[str, set[str]] = defaultdict(set)
        """By kind: the rest of the names."""
        self._unsettled: set[str] = set()
        """Followers that no leader known by their digest has; one that has ended may have them."""

    async def walk(self) -> Report:
        async for names in self._names():
            await self._keys(names)
        await self._time()
        await self._leaders()
        placed = await self._entries()
        await self._homeless(self._unsettled - placed)
        await self._counters()
        self._report.findings = sorted(self._found)
        return self._report

    async def _names(self) -> AsyncIterator[list[str]]:
        cursor = 0
        while True:
            with unavailable():
                cursor, keys = await self._client.scan(cursor, match=f"{self._prefix}*", count=_PAGE)
            yield [str(key).removeprefix(self._prefix) for key in keys]
            if not cursor:
                return

    async def _keys(self, names: list[str]) -> None:
        jobs = []
        for name in names:
            kind, _, rest = name.partition(":")
            if kind == "job":
                jobs.append(rest)
            elif kind in _SETS:
                self._sets[kind].add(rest)
        self._report.keys += len(names)
        self._report.jobs += len(jobs)
        for chunk in _chunks(names):
            for problem, name in await self._ask("check_keys", self._flag, *chunk):
                if not is_lasting(self._prefix + name):
                    self._add(problem, name)
        await self._jobs(jobs, self._flag)

    async def _jobs(self, jobs: Iterable[str], flag: str) -> None:
        for chunk in _chunks(jobs):
            for problem, job in await self._ask("check_jobs", flag, *chunk):
                if problem is Problem.FOLLOWS_NOBODY and flag != "adopt":
                    self._unsettled.add(job)
                else:
                    self._add(problem, job)

    async def _time(self) -> None:
        if any(finding.problem is Problem.TICKETS_BEHIND for finding in self._found):
            for problem, line in await self._ask("check_time", self._flag, *sorted(self._sets["line"])):
                self._add(problem, line)

    async def _leaders(self) -> None:
        leaders = sorted({name.partition(":")[2] for name in self._sets["followers"]})
        for chunk in _chunks(leaders):
            left = chunk
            for _ in range(_ROUNDS):
                again = await self._ask("check_leaders", self._flag, *left)
                for problem, leader in again:
                    self._add(problem, leader)
                left = [leader for _, leader in again]
                if not left or not self._flag:
                    break

    async def _entries(self) -> set[str]:
        """Every member of every set. Returns those who follow somebody."""
        followers: set[str] = set()
        if self._flag:  # leaders have changed
            async for names in self._names():
                for name in names:
                    kind, _, rest = name.partition(":")
                    if kind == "followers":
                        self._sets[kind].add(rest)
        for kind in _SETS:
            for rest in sorted(self._sets[kind]):
                place = self._prefix + (f"{kind}:{rest}" if rest else kind)
                async for members in self._members(kind, place):
                    self._report.entries += len(members)
                    if kind == "followers":
                        followers.update(member[TICKET_DIGITS:] for member in members)
                    for chunk in _chunks(members):
                        for problem, job in await self._ask("check_entries", self._flag, kind, place, *chunk):
                            self._add(problem, f"flight:{job}" if kind == "flight" else job)
        return followers

    async def _members(self, kind: str, place: str) -> AsyncIterator[list[str]]:
        cursor = 0
        members: list[str]
        while True:
            with unavailable():
                if kind == "flight":
                    cursor, flights = await self._client.hscan(place, cursor, count=_PAGE)
                    members = [str(name) for name in flights]
                else:
                    cursor, rows = await self._client.zscan(place, cursor, count=_PAGE)
                    members = [str(member) for member, _ in rows]
            yield members
            if not cursor:
                return

    async def _homeless(self, jobs: set[str]) -> None:
        if self._flag:
            await self._jobs(sorted(jobs), "adopt")
            return
        for chunk in _chunks(sorted(jobs)):
            for problem, job in await self._ask("check_jobs", "", *chunk):
                self._add(problem, job)

    async def _counters(self) -> None:
        wrong = await self._run("recount", self._flag, RECOUNT)
        self._report.counted = wrong is not None
        for counter in wrong or ():
            self._add(Problem.COUNTER, counter)

    async def _ask(self, verb: str, *args: str) -> list[tuple[Problem, str]]:
        answer = await self._run(verb, *args)
        return [(Problem(problem), what) for problem, what in zip(answer[::2], answer[1::2], strict=True)]

    def _add(self, problem: Problem, what: str) -> None:
        self._found.add(Finding(problem, what))


def _chunks(items: Iterable[str]) -> list[list[str]]:
    every = list(items)
    return [every[start : start + CHUNK] for start in range(0, len(every), CHUNK)]
