"""The day's counters in Redis. Every verb is one script and may be repeated when its reply was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelpool.errors import IdempotencyConflict, QueueUnavailable
from modelpool.queue.connection import unavailable
from modelpool_api.door_scripts import PREFIX, DoorScripts
from modelpool_api.identity.days import Days
from modelpool_api.identity.ring import DayKey
from modelpool_api.policy import Burst
from modelpool_api.quota import scripts
from modelpool_api.quota.balance import Balance, tightest
from modelpool_api.quota.ceilings import Allowance, Ceiling
from modelpool_api.quota.refusals import AllowanceUsedUp, TooFast

_DAYS_TRIED = 3


@dataclass(frozen=True, slots=True)
class Charge:
    """Units to take. ``witness`` is the key in Redis that exists once what they are taken for exists."""

    id: str
    price: int
    witness: str
    repeat: str | None = None
    """What a repetition of the same request is known by: it costs nothing."""
    fingerprint: str = ""
    """Of the request; another one that is known by the same is refused."""


class Seen(NamedTuple):
    """One thing that is counted of a request, whether or not it gets its units."""

    name: str
    life_ms: int
    """From the first on."""
    limit: int | None = None
    """More than this is refused; None: nothing is."""
    member: str = ""
    """What different ones are counted of (about); empty: requests are counted."""


class Unusual(Exception):  # no error, but a question to whoever asked for the units
    """More of something came than its limit; nothing was taken. ``counts`` are what all stand at."""

    def __init__(self, counts: Sequence[int]) -> None:
        super().__init__()
        self.counts = counts


class Elsewhere(Exception):  # no error either
    """An equal request has taken units for a job that another ``witness`` will show; nothing was taken."""

    def __init__(self, witness: str) -> None:
        super().__init__()
        self.witness = witness


@dataclass(frozen=True, slots=True)
class Reserved:
    """Units taken. ``known``: they had been taken before, by the request that this one repeats."""

    charge: str
    day: DayKey
    balance: Balance
    known: bool = False
    nth: int = 0
    """How often this subject had asked for the same without a seed before, today."""


class Ledger:
    """Takes units and gives them back. The clock is Redis's, or that of ``days`` in tests."""

    def __init__(self, door: DoorScripts, days: Days) -> None:
        self._door = door
        self.days = days

    async def _run(self, verb: str, *args: str | int) -> Any:
        now = "" if self.days.now is None else self.days.now()
        return await self._door.run(scripts.source(verb), now, *args)

    async def reserve(
        self,
        charge: Charge,
        allowance: Callable[[DayKey], Allowance],
        *,
        ring: Callable[[DayKey], str] | None = None,
        paced: bool = True,
        offer: str = "",
        watched: tuple[Seen, ...] = (),
        tell: Callable[[Sequence[int]], None] | None = None,
    ) -> Reserved:
        """Take the price under every ceiling, or nothing. ``offer`` is a sentence for those who have used theirs up.

        In the same step ``watched`` is counted, and ``tell`` is called with what each stands at. Without ``paced`` the burst
        rule is left out, because it was asked before.

        :raises AllowanceUsedUp: a ceiling says no; it is named, with what is left.
        :raises TooFast: the burst rule says no.
        :raises IdempotencyConflict: another request is known by what this one would be known by.
        :raises Unusual: a count is above its limit; the burst rule has been asked.
        :raises Elsewhere: the request that this one repeats has another witness; nothing was counted either.
        :raises QueueUnavailable: Redis is away; nothing was taken.
        """
        today = await self.days.today()
        for _ in range(_DAYS_TRIED):
            found = allowance(today)
            answer = await self._run(
                "reserve",
                today.day,
                charge.price,
                charge.id,
                charge.witness,
                charge.repeat or "",
                charge.fingerprint,
                ring(today) if ring is not None else "",
                found.burst_counter if paced else "",
                *_pace(found.burst),
                len(found.ceilings),
                *_flat(found.ceilings),
                *_flat_seen(watched),
            )
            if answer[0] == "day":
                today = await self.days.ask()
                continue
            if answer[0] == "elsewhere":
                raise Elsewhere(str(answer[2]))
            if watched and tell is not None:
                tell(answer[2])
            return _reserved(charge, today, found, answer, offer)
        raise QueueUnavailable("Redis's clock jumps from day to day. Try again in a moment.", retry_after=2)

    async def shed(
        self, id: str, price: int, allowance: Callable[[DayKey], Allowance], *, paced: bool = True, offer: str = ""
    ) -> bool:
        """Somebody is turned away who might have come in; takes nothing. Whether it counts as demand.

        ``id`` is this refusal's own: asked again with it, the answer is the same, and nothing is counted twice.

        It does as long as all that they were turned away from today would have been paid for: nobody counts for more
        than they might have taken. Without ``paced`` the burst rule is left out, because it was asked before.

        :raises AllowanceUsedUp: as :meth:`reserve`.
        :raises TooFast: as :meth:`reserve`.
        :raises QueueUnavailable: Redis is away.
        """
        today = await self.days.today()
        for _ in range(_DAYS_TRIED):
            found = allowance(today)
            counter = found.burst_counter if paced else ""
            answer = await self._run("shed", today.day, price, id, counter, *_pace(found.burst), *_flat(found.ceilings))
            match answer:
                case ["day", _]:
                    today = await self.days.ask()
                case ["ok", _, demand]:
                    return bool(demand)
                case _:
                    raise _refusal(answer, found, price, offer)
        raise QueueUnavailable("Redis's clock jumps from day to day. Try again in a moment.", retry_after=2)

    async def pace(self, id: str, burst: Burst, counter: Callable[[DayKey], str]) -> None:
        """Ask the burst rule alone, for what takes no units. ``id`` is this question's own: asked again, it counts once.

        :raises TooFast: it says no.
        :raises QueueUnavailable: Redis is away.
        """
        today = await self.days.today()
        answer = await self._run("pace", id, counter(today), *_pace(burst))
        if answer[0] == "fast":
            raise TooFast(int(answer[2]), burst.per_second, burst.burst)

    async def extend(self, charge: str) -> bool:
        """Let a reservation wait another minute for its job; False: it has been returned or spent, and no job is paid for.

        :raises QueueUnavailable: Redis is away.
        """
        return bool(await self._run("extend", charge))

    async def look(self, allowance: Callable[[DayKey], Allowance]) -> Balance:
        """How the day stands; takes nothing.

        :raises QueueUnavailable: Redis is away.
        """
        today = await self.days.today()
        for _ in range(_DAYS_TRIED):
            found = allowance(today).ceilings
            answer = await self._run("look", today.day, *(ceiling.counter for ceiling in found))
            if answer[0] == "ok":
                return tightest(found, [int(count) for count in answer[2:]], int(answer[1]))
            today = await self.days.ask()
        raise QueueUnavailable("Redis's clock jumps from day to day. Try again in a moment.", retry_after=2)

    async def next_in_ring(self, ring: Callable[[DayKey], str]) -> tuple[DayKey, int]:
        """The ``nth`` that :meth:`reserve` would give now, and its day; takes nothing.

        :raises QueueUnavailable: Redis is away.
        """
        today = await self.days.today()
        client = await self._door.client()
        with unavailable():
            return today, int(await client.get(f"{PREFIX}:ring:{today.day}:{ring(today)}") or 0)

    async def history(self, counter: str, days: int) -> dict[int, int]:
        """Units used on each of the last ``days`` days (counted from 1970), today last.

        :raises QueueUnavailable: Redis is away.
        """
        today = await self.days.today()
        span = range(today.day - days + 1, today.day + 1)
        client = await self._door.client()
        with unavailable():
            found = await client.mget([f"{PREFIX}:use:{day}:{counter}" for day in span])
        return {day: int(count or 0) for day, count in zip(span, found, strict=True)}

    async def release(self, charge: str) -> bool:
        """Return a reservation whose request came to nothing; False when it had been returned before."""
        return bool(await self._run("release", charge))

    async def spend(self, charge: str) -> bool:
        """Keep the units of a reservation whose request came to nothing, but has cost us; False: they have been returned.

        Who repeats the request takes units anew.

        :raises QueueUnavailable: Redis is away.
        """
        return bool(await self._run("spend", charge))

    async def lapse(self) -> int:
        """Return reservations that no job came of within a minute. Returns how many."""
        returned = 0
        while True:
            looked, back = await self._run("lapse")
            returned += int(back)
            if looked < scripts.CHUNK:
                return returned

    async def refund(self, stream: str) -> int:
        """Return the units of jobs that ended unhappily, from a pool's stream. Returns of how many."""
        refunded = 0
        while True:
            read, back = await self._run("refund", stream)
            refunded += int(back)
            if read < scripts.CHUNK:
                return refunded

    async def carry(self, charge: str, today: DayKey, counter: str, ceilings: tuple[Ceiling, ...]) -> int:
        """Let an account's counter begin with the most that was used under ``ceilings`` today; returns how much that is.

        What is left under those with a limit goes over to the account: they are used up, until ``charge`` is returned.

        :raises QueueUnavailable: Redis is away, or was for so long that the charge has been returned.
        """
        carried = int(await self._run("carry", today.day, charge, counter, *_flat(ceilings)))
        if carried < 0:
            raise QueueUnavailable("That took too long. Try again in a moment.", retry_after=2)
        return carried


def _reserved(charge: Charge, today: DayKey, found: Allowance, answer: list[Any], offer: str) -> Reserved:
    """What the script's answer means."""
    match answer:
        case ["ok", now, _, nth, *used]:
            return Reserved(charge.id, today, tightest(found.ceilings, used, now), nth=nth)
        case ["known", now, _, nth, *used, before]:
            return Reserved(str(before), today, tightest(found.ceilings, used, now), known=True, nth=nth)
        case ["conflict", *_]:
            raise IdempotencyConflict(
                "This Idempotency-Key was used with another request: send a new key with a new request.",
                param="Idempotency-Key",
            )
        case ["unusual", _, counts]:
            raise Unusual(counts)
        case [word, now, _, *rest]:
            raise _refusal([word, now, *rest], found, charge.price, offer)
    raise ValueError(f"the script answered {answer!r}")


def _refusal(answer: list[Any], found: Allowance, price: int, offer: str) -> AllowanceUsedUp | TooFast:
    """What a script said no with."""
    if answer[0] == "fast":
        return TooFast(int(answer[2]), found.burst.per_second, found.burst.burst)
    _, now, index, *used = answer
    ceiling = found.ceilings[int(index)]
    return AllowanceUsedUp(tightest([ceiling], [int(used[int(index)])], now), price, offer=offer)


def _pace(burst: Burst) -> tuple[str, int]:
    """Milliseconds a request, and how many at one moment."""
    return format(1000 / burst.per_second, ".17g"), burst.burst


def _flat_seen(watched: tuple[Seen, ...]) -> list[str | int]:
    return [part for c in watched for part in (c.name, c.member, c.life_ms, "" if c.limit is None else c.limit)]


def _flat(ceilings: tuple[Ceiling, ...]) -> list[str | int]:
    return [part for c in ceilings for part in (c.counter, "" if c.limit is None else c.limit)]
