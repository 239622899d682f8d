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
            if leader.line != follower.line:
                leader.own_tag, leader.own_payer = leader.tag, leader.payer
            leader.payer = follower.asked.subject
            self._lines.bill(follower)
        return lifts

    def part(self, leader: Job, follower: Job) -> float | None:
        """Follow no more. Returns the tag with which a leader goes back to its own line: one that paid followers had lifted,
        the last of which has left, with its money."""
        followers = self._followers[leader.id]
        followers.remove(follower)
        if leader.own_tag is None or any(other.line == "paid" for other in followers):
            return None
        own, leader.own_tag, leader.payer, leader.own_payer = leader.own_tag, None, leader.own_payer, None
        return self._lent_turn(leader, own, min(followers, key=lambda other: other.rank, default=None))

    def land(self, leader: Job) -> list[Job]:
        """The flight is over. Returns who followed, in the order of their places."""
        del self._leaders[leader.asked.digest]
        return sorted(self._followers.pop(leader.id, []), key=lambda follower: follower.rank)

    def promote(self, heir: Job, *others: Job) -> None:
        """The first follower becomes the leader. Unless it lifted the one before, only now does its job cost the user
        virtual time, so it comes after what the user has asked for since."""
        self._leaders[heir.asked.digest] = heir
        self._followers[heir.id] = list(others)
        heir.tag = self._turn(heir)
        if not heir.billed:
            self._lines.bill(heir)
        heir.tag = self._lent_turn(heir, heir.tag, next((other for other in others if other.line == heir.line), None))

    def _lent_turn(self, leader: Job, tag: float, helper: Job | None) -> float:
        """Where a leader stands with the first who follows it in its own line: no later than that one would, who then gives
        that turn, because to follow costs nothing and it could be lent again and again."""
        if helper is None or (turn := self._turn(helper)) >= tag:
            return tag
        leader.payer, helper.tag = helper.asked.subject, turn
        if not helper.billed:
            self._lines.bill(helper)
        return turn

    def _turn(self, follower: Job) -> float:
        """The tag with which it would stand in line now."""
        if follower.billed:
            return follower.tag
        return max(follower.tag, self._lines.debt(follower.line, follower.asked.subject))
