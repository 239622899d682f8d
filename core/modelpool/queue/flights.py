"""Who follows whom: identical jobs in flight share one run, in plain Python.

The first of them is the *leader*; it alone stands in line. Its followers stand nowhere, and end as it does. A follower that
would wait for less time lifts its leader to its own place, and pays for that; one whose leader leaves takes its place.
"""

from __future__ import annotations

from modelpool.queue.job import Job
from modelpool.queue.lines import Lines
from modelpool.queue.rules import LINES


class Flights:
    """The flights of one pool, each known by its leader. Bills users in ``lines``, where somebody else stands jobs."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._leaders: dict[str, Job] = {}
        """By digest."""
        self._followers: dict[str, list[Job]] = {}
        """By leader."""

    def leader(self, job: Job) -> Job | None:
        """Whom jobs with this one's digest follow: the job itself, another, or nobody."""
        return self._leaders.get(job.asked.digest)

    def lead(self, job: Job) -> None:
        """Who wants no cache follows nobody, and leads only where nobody does."""
        self._leaders.setdefault(job.asked.digest, job)

    def join(self, leader: Job, follower: Job) -> bool:
        """Follow. The leader waits where the first of them all would, and stays there when a free one leaves; who lifts it
        owes for that: else an accomplice could move any number of jobs ahead. Returns whether the leader shall move to
        the follower's place."""
        self._followers.setdefault(leader.id, []).append(follower)
        lifts = (LINES.index(follower.line), follower.tag) < (LINES.index(leader.line), leader.tag)
        if lifts:
            self._lines.bill(follower)
        return lifts

    def part(self, leader: Job, follower: Job) -> float | None:
        """Follow no more. Returns the tag with which a leader goes back to its own line: one that paid followers had lifted,
        the last of which has left, with its money."""
        self._followers[leader.id].remove(follower)
        if follower.line != "paid" or any(other.line == "paid" for other in self._followers[leader.id]):
            return None
        return leader.own_tag

    def land(self, leader: Job) -> list[Job]:
        """The flight is over. Returns who followed, in the order of their places."""
        del self._leaders[leader.asked.digest]
        return sorted(self._followers.pop(leader.id, []), key=lambda follower: follower.rank)

    def promote(self, heir: Job, *others: Job) -> None:
        """The first follower becomes the leader. Unless it lifted the one before, only now does its job cost the user
        virtual time, so it comes after what the user has asked for since; but it waits no longer than the next of the
        followers would, who then gives that turn: to follow costs nothing, so it could be lent again and again."""
        self._leaders[heir.asked.digest] = heir
        self._followers[heir.id] = list(others)
        turn = self._turn(heir)
        if not heir.billed:
            heir.tag = turn
            self._lines.bill(heir)
        helper = next((other for other in others if other.line == heir.line), None)
        if helper is not None and (turn := self._turn(helper)) < heir.tag:
            heir.tag = helper.tag = turn
            if not helper.billed:
                self._lines.bill(helper)

    def _turn(self, follower: Job) -> float:
        """The tag with which it would stand in line now."""
        if follower.billed:
            return follower.tag
        return max(follower.tag, self._lines.debt(follower.line, follower.asked.subject))
