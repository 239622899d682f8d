"""Proofs of work after ALTCHA's protocol: given out signed, taken back once, and only from whoever they were given to.

A challenge is kept nowhere: its signature, its end and a name of the day for whom it is are in it. What is kept, as long
as the challenge lives, is that a solution of it came, right or wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import altcha
from redis.asyncio import Redis

from modelpool.queue.connection import unavailable
from modelpool_api.door_scripts import PREFIX
from modelpool_api.identity.days import Days
from modelpool_api.identity.ring import SecretRing
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Challenge

ALGORITHM = "PBKDF2/SHA-256"
KEY_PREFIX = "00"
"""One try in 256 finds a key that begins so."""
LONGEST_SOLUTION = 4_096
CHECKS = 2
"""A check computes one try: not more than these at once, in threads."""
SOLUTION_HEADER = "modelpool-solution"
ISSUED = "issued"
_SLACK_SECONDS = 3_600
"""How much longer than a challenge lives its solution is known: the clock of another replica may be late."""
_PURPOSE = "challenge"
_FOR = "for"


class Verdict(StrEnum):
    """What a solution is; the label ``outcome`` of ``modelpool_challenges_total`` together with ``issued``."""

    SOLVED = "solved"
    WRONG = "wrong"
    """Not of our form, not signed by us, or not a solution."""
    EXPIRED = "expired"
    USED = "used"
    FOREIGN = "foreign"
    """Given out to somebody else, or yesterday."""


WHY_NOT = {
    Verdict.WRONG: "The solution that came is not one of a challenge of ours.",
    Verdict.EXPIRED: "The solution came too late.",
    Verdict.USED: "That solution was used before, and each is good for one request.",
    Verdict.FOREIGN: "That solution is of a challenge for another browser or network, or for another day.",
}


class Challenges:
    """Gives challenges out and looks at solutions. ``now`` in Unix seconds."""

    def __init__(
        self,
        rules: Challenge,
        ring: SecretRing,
        days: Days,
        client: Callable[[], Awaitable[Redis]],
        now: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        self._rules = rules
        self._secrets = ring.derived(_PURPOSE)
        self._days = days
        self._client = client
        self._now = now
        self._count = count
        self._checks = asyncio.Semaphore(CHECKS)

    async def issue(self, subject: Subject) -> dict[str, Any]:
        """A challenge for ``subject``, as ALTCHA's widget reads it.

        :raises QueueUnavailable: Redis is needed to tell the day, and away.
        """
        challenge = altcha.create_challenge(
            ALGORITHM,
            self._rules.cost,
            key_prefix=KEY_PREFIX,
            expires_at=int(self._now()) + self._rules.life_seconds,
            data={_FOR: await self._name(subject)},
            hmac_secret=self._secrets[0],
        )
        self._count(ISSUED)
        return challenge.to_dict()

    async def check(self, solution: str, subject: Subject) -> Verdict:
        """What ``solution`` is, in ALTCHA's base64. Its challenge is used up by this.

        :raises QueueUnavailable: Redis is away.
        """
        verdict = await self._judge(solution, subject)
        self._count(verdict.value)
        return verdict

    async def _judge(self, solution: str, subject: Subject) -> Verdict:
        payload = _parsed(solution)
        if payload is None:
            return Verdict.WRONG
        given = payload.challenge.parameters
        ends = given.expires_at
        if not isinstance(ends, int) or ends <= self._now():
            return Verdict.EXPIRED
        secret = next((secret for secret in self._secrets if _is_signed(payload, secret)), None)
        if secret is None:
            return Verdict.WRONG
        if (given.data or {}).get(_FOR) != await self._name(subject):
            return Verdict.FOREIGN
        # Used up before it is computed: nobody makes us compute more than one try for a challenge.
        client = await self._client()
        with unavailable():
            life = ends - int(self._now()) + _SLACK_SECONDS
            first = await client.set(f"{PREFIX}:solved:{given.nonce}", 1, nx=True, ex=life)
        if not first:
            return Verdict.USED
        async with self._checks:
            found = await asyncio.to_thread(altcha.verify_solution, payload, secret)
        return Verdict.SOLVED if found.verified else Verdict.WRONG

    async def _name(self, subject: Subject) -> str:
        return (await self._days.today()).name(_PURPOSE, subject.repeats)


def _is_signed(payload: altcha.Payload, secret: bytes) -> bool:
    """Whether we gave the challenge out, and it has not ended. Computes no try."""
    found = altcha.verify_solution(payload, secret, derive_key=lambda *_: b"")
    return found.invalid_signature is False


def _parsed(solution: str) -> altcha.Payload | None:
    if len(solution) > LONGEST_SOLUTION:
        return None
    try:
        return altcha.Payload.from_base64(solution)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
