"""Units are taken under every ceiling or not at all, and given back once, into the day that they came from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from modelpool.errors import IdempotencyConflict, QueueUnavailable
from modelpool_api.door_scripts import PREFIX
from modelpool_api.identity.ring import DayKey
from modelpool_api.policy import Burst
from modelpool_api.quota.ceilings import Allowance
from modelpool_api.quota.ledger import Charge, Elsewhere, Ledger, Seen, Unusual
from modelpool_api.quota.refusals import AllowanceUsedUp, TooFast
from modelpool_api.quota.scripts import KEEP_MS
from support import RedisProcess, bundled_redis
from support.ledgers import charge, make_ledger, new_id, under
from support.queues import Clock

STREAM = "mpl:{default/studio}:refunds"
VISITOR = under(("visitor", 5), ("network", 8))
OTHER = under(("device", 5), ("network", 8))


async def left(ledger: Ledger, *limits: tuple[str, int]) -> int:
    return (await ledger.look(under(*limits))).remaining


async def test_units_are_taken_under_every_ceiling_and_the_tightest_is_told(ledger: Ledger) -> None:
    assert (await ledger.reserve(charge(3), VISITOR)).balance.remaining == 2
    balance = (await ledger.reserve(charge(4), OTHER)).balance
    assert (balance.ceiling, balance.limit, balance.remaining) == ("device", 5, 1)
    balance = await ledger.look(VISITOR)
    assert (balance.ceiling, balance.remaining) == ("network", 1)


async def test_a_refusal_takes_nothing_and_says_which_ceiling_and_what_is_left(ledger: Ledger) -> None:
    await ledger.reserve(charge(5), VISITOR)
    with pytest.raises(AllowanceUsedUp) as refusal:
        await ledger.reserve(charge(4), OTHER)
    assert (refusal.value.balance.ceiling, refusal.value.balance.remaining) == ("network", 3)
    assert "3 are left and this needs 4" in refusal.value.message
    assert refusal.value.retry_after == 12 * 3600
    assert await left(ledger, ("device", 5)) == 5
    assert await left(ledger, ("network", 8)) == 3


async def test_a_counter_without_a_limit_counts_and_never_refuses(ledger: Ledger) -> None:
    for _ in range(3):
        await ledger.reserve(charge(5), under(("account", 100), ("visitor", None)))
    assert await left(ledger, ("visitor", 50)) == 35


async def test_a_reservation_whose_reply_was_lost_is_taken_once(ledger: Ledger) -> None:
    lost = charge(2)
    first = await ledger.reserve(lost, VISITOR, ring=lambda today: "ring")
    again = await ledger.reserve(lost, VISITOR, ring=lambda today: "ring")
    assert (again.balance.remaining, again.nth) == (first.balance.remaining, first.nth) == (3, 0)


async def test_a_reservation_under_a_key_whose_reply_was_lost_repeats_nobody_and_goes_back_at_once(
    ledger: Ledger,
) -> None:
    lost = charge(2, repeat="key")
    taken = [await ledger.reserve(lost, VISITOR) for _ in range(2)]
    assert [(one.charge, one.known, one.balance.remaining) for one in taken] == [(lost.id, False, 3)] * 2
    assert await ledger.release(lost.id)
    assert await left(ledger, ("visitor", 5)) == 5


async def test_five_hundred_at_the_limit_admit_exactly_the_rest(client: Redis, clock: Clock) -> None:
    replicas = [make_ledger(client, clock), make_ledger(client, clock)]
    allowed = under(("visitor", 50), ("network", 1000))
    await asyncio.gather(*(replicas[0].reserve(charge(), allowed) for _ in range(13)))
    tries = [replicas[turn % 2].reserve(charge(), allowed) for turn in range(500)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 37
    assert all(isinstance(answer, AllowanceUsedUp) for answer in answers if isinstance(answer, BaseException))
    assert await left(replicas[1], ("network", 1000)) == 950


async def test_a_request_made_again_under_its_key_costs_nothing_even_when_all_is_used_up(ledger: Ledger) -> None:
    first = await ledger.reserve(charge(5, repeat="key"), VISITOR)
    again = await ledger.reserve(charge(5, repeat="key"), VISITOR)
    assert (first.known, again.known) == (False, True)
    assert again.charge == first.charge
    with pytest.raises(AllowanceUsedUp):
        await ledger.reserve(charge(1, repeat="another key"), VISITOR)


async def test_equal_requests_at_the_same_moment_are_charged_once(ledger: Ledger) -> None:
    answers = await asyncio.gather(*(ledger.reserve(charge(5, repeat="key"), VISITOR) for _ in range(20)))
    assert sum(not answer.known for answer in answers) == 1
    assert len({answer.charge for answer in answers}) == 1


async def test_another_request_cannot_stand_on_what_a_cheaper_one_paid(ledger: Ledger) -> None:
    await ledger.reserve(charge(1, repeat="key", body="a picture"), VISITOR)
    with pytest.raises(IdempotencyConflict) as refusal:
        await ledger.reserve(charge(5, repeat="key", body="a video"), VISITOR)
    assert refusal.value.param == "Idempotency-Key"
    assert (await ledger.reserve(charge(1, repeat="key", body="a picture"), VISITOR)).known
    assert await left(ledger, ("visitor", 5)) == 4


async def test_who_repeats_a_request_whose_job_is_elsewhere_is_told_where_and_nothing_is_counted(
    ledger: Ledger,
) -> None:
    await ledger.reserve(charge(1, witness="here", repeat="key", body="a picture"), VISITOR)
    counts: list[int] = []
    with pytest.raises(Elsewhere) as told:
        await ledger.reserve(
            charge(1, witness="there", repeat="key", body="a picture"),
            VISITOR,
            watched=(Seen("requests", 1000),),
            tell=counts.extend,
        )
    assert told.value.witness == "here"
    with pytest.raises(IdempotencyConflict):
        await ledger.reserve(charge(5, witness="there", repeat="key", body="a video"), VISITOR)
    assert counts == []
    assert await left(ledger, ("visitor", 5)) == 4


async def test_what_takes_no_units_keeps_the_burst_rule_and_a_question_asked_again_counts_once(
    ledger: Ledger, clock: Clock
) -> None:
    burst = Burst(per_second=1, burst=2)
    for id in ("a", "a", "a", "b"):
        await ledger.pace(id, burst, lambda _: "somebody")
    with pytest.raises(TooFast):
        await ledger.pace("c", burst, lambda _: "somebody")
    await ledger.pace("d", burst, lambda _: "another")
    clock.pass_seconds(1)
    await ledger.pace("e", burst, lambda _: "somebody")


class TestGivingBack:
    async def test_a_released_reservation_is_returned_once_and_its_key_is_free_again(self, ledger: Ledger) -> None:
        taken = await ledger.reserve(charge(4, repeat="key"), VISITOR)
        assert await ledger.release(taken.charge)
        assert not await ledger.release(taken.charge)
        assert await left(ledger, ("visitor", 5), ("network", 8)) == 5
        assert not (await ledger.reserve(charge(4, repeat="key"), VISITOR)).known

    async def test_a_spent_reservation_is_never_returned_and_its_key_is_free_again(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        taken = await ledger.reserve(charge(2, repeat="key"), VISITOR)
        assert [await ledger.spend(taken.charge) for _ in range(2)] == [True, True]
        assert not await ledger.release(taken.charge)
        assert not await ledger.extend(taken.charge)
        clock.pass_seconds(61)
        assert await ledger.lapse() == 0
        assert await left(ledger, ("visitor", 5)) == 3
        assert not (await ledger.reserve(charge(2, repeat="key"), VISITOR)).known
        assert await left(ledger, ("visitor", 5)) == 1

    async def test_what_has_been_returned_cannot_be_spent(self, ledger: Ledger) -> None:
        taken = await ledger.reserve(charge(2), VISITOR)
        assert await ledger.release(taken.charge)
        assert not await ledger.spend(taken.charge)
        assert await left(ledger, ("visitor", 5)) == 5

    async def test_what_an_equal_request_stands_on_is_not_released_under_it(self, ledger: Ledger) -> None:
        taken = await ledger.reserve(charge(4, repeat="key"), VISITOR)
        assert (await ledger.reserve(charge(4, repeat="key"), VISITOR)).known
        assert not await ledger.release(taken.charge)
        assert await left(ledger, ("visitor", 5)) == 1

    async def test_without_a_job_it_is_returned_after_a_minute(
        self, ledger: Ledger, client: Redis, clock: Clock
    ) -> None:
        await ledger.reserve(charge(2, witness="job:a"), VISITOR)
        await ledger.reserve(charge(3, witness="job:b"), VISITOR)
        await client.set("job:b", "there")
        clock.pass_seconds(59)
        assert await ledger.lapse() == 0
        clock.pass_seconds(1)
        assert await ledger.lapse() == 1
        assert await left(ledger, ("visitor", 5)) == 2
        assert await client.zcard(f"{PREFIX}:pending") == 0

    async def test_an_extended_reservation_waits_for_its_job_anew(self, ledger: Ledger, clock: Clock) -> None:
        taken = await ledger.reserve(charge(2), VISITOR)
        clock.pass_seconds(50)
        assert await ledger.extend(taken.charge)
        clock.pass_seconds(50)
        assert await ledger.lapse() == 0
        clock.pass_seconds(10)
        assert await ledger.lapse() == 1

    async def test_what_was_returned_cannot_be_extended(self, ledger: Ledger, client: Redis, clock: Clock) -> None:
        taken = await ledger.reserve(charge(2), VISITOR)
        clock.pass_seconds(60)
        assert await ledger.lapse() == 1
        assert not await ledger.extend(taken.charge)
        assert not await ledger.extend("unknown")
        assert await client.zcard(f"{PREFIX}:pending") == 0

    async def test_what_has_its_job_may_be_extended_and_stays_as_it_is(
        self, ledger: Ledger, client: Redis, clock: Clock
    ) -> None:
        taken = await ledger.reserve(charge(2, witness="job:a"), VISITOR)
        await client.set("job:a", "there")
        clock.pass_seconds(60)
        assert await ledger.lapse() == 0
        assert await ledger.extend(taken.charge)
        assert await client.zcard(f"{PREFIX}:pending") == 0

    async def test_a_repetition_gives_the_first_request_another_minute(self, ledger: Ledger, clock: Clock) -> None:
        await ledger.reserve(charge(2, repeat="key"), VISITOR)
        clock.pass_seconds(50)
        await ledger.reserve(charge(2, repeat="key"), VISITOR)
        clock.pass_seconds(50)
        assert await ledger.lapse() == 0
        clock.pass_seconds(10)
        assert await ledger.lapse() == 1

    async def test_jobs_that_ended_unhappily_are_refunded_once_by_whoever_reads_first(
        self, client: Redis, clock: Clock
    ) -> None:
        replicas = [make_ledger(client, clock) for _ in range(3)]
        taken = [await replicas[0].reserve(charge(1), under(("visitor", 500))) for _ in range(300)]
        for one in taken[:299]:
            for _ in range(2):  # a stream may say it twice
                await client.xadd(STREAM, {"charge": one.charge, "price": "1", "day": "20000"})
        refunded = await asyncio.gather(*(replica.refund(STREAM) for replica in replicas))
        assert sum(refunded) == 299
        assert await left(replicas[0], ("visitor", 500)) == 499
        assert await replicas[0].refund(STREAM) == 0

    async def test_a_refund_goes_into_the_day_of_the_charge(self, ledger: Ledger, client: Redis, clock: Clock) -> None:
        taken = await ledger.reserve(charge(5), VISITOR)
        clock.pass_seconds(86_400)
        await ledger.reserve(charge(4), VISITOR)
        await client.xadd(STREAM, {"charge": taken.charge, "price": "5", "day": "20000"})
        await ledger.refund(STREAM)
        assert await left(ledger, ("visitor", 5)) == 1
        clock.pass_seconds(-86_400)
        assert await left(ledger, ("visitor", 5)) == 5

    async def test_a_charge_that_nobody_knows_is_no_error(self, ledger: Ledger, client: Redis) -> None:
        await client.xadd(STREAM, {"charge": "unknown", "price": "5", "day": "1"})
        await client.xadd(STREAM, {"something": "else"})
        assert await ledger.refund(STREAM) == 0
        assert not await ledger.release("unknown")


class TestDays:
    async def test_midnight_utc_brings_a_new_allowance(self, ledger: Ledger, clock: Clock) -> None:
        clock.pass_seconds(12 * 3600 - 0.001)
        await ledger.reserve(charge(5), VISITOR)
        with pytest.raises(AllowanceUsedUp) as refusal:
            await ledger.reserve(charge(), VISITOR)
        assert refusal.value.retry_after == 1
        clock.pass_seconds(0.001)
        balance = (await ledger.reserve(charge(), VISITOR)).balance
        assert (balance.remaining, balance.seconds_to_reset) == (4, 86_400)

    async def test_replicas_with_other_clocks_agree_on_the_day(self, client: Redis, clock: Clock) -> None:
        # Each replica's own clock stands still or runs ahead; what counts is Redis's.
        replicas = [make_ledger(client, clock) for _ in range(3)]
        names = []
        for seconds in (0, 12 * 3600 - 1, 1, 86_399, 1):
            clock.pass_seconds(seconds)
            taken = [await replica.reserve(charge(), under(("visitor", 3))) for replica in replicas]
            names.append({one.day.name("visitor") for one in taken})
            for one in taken:
                await replicas[0].release(one.charge)
        assert [len(name) for name in names] == [1] * 5
        assert names[0] == names[1] != names[2] == names[3] != names[4]


SLOWLY = under(("visitor", 1000), burst=Burst(per_second=2, burst=5), counter="n:here")


class TestBurst:
    async def test_five_at_once_and_two_a_second(self, ledger: Ledger, clock: Clock) -> None:
        async def admitted(tries: int) -> int:
            answers = await asyncio.gather(
                *(ledger.reserve(charge(), SLOWLY) for _ in range(tries)), return_exceptions=True
            )
            assert all(isinstance(a, TooFast) for a in answers if isinstance(a, BaseException))
            return sum(not isinstance(answer, BaseException) for answer in answers)

        assert await admitted(20) == 5
        clock.pass_seconds(0.499)
        assert await admitted(5) == 0
        clock.pass_seconds(0.001)
        assert await admitted(5) == 1
        clock.pass_seconds(10)
        assert await admitted(20) == 5

    async def test_a_clock_that_goes_back_keeps_nobody_out(self, ledger: Ledger, clock: Clock) -> None:
        for _ in range(5):
            await ledger.reserve(charge(), SLOWLY)
        clock.pass_seconds(-600)
        for _ in range(5):
            await ledger.reserve(charge(), SLOWLY)
        with pytest.raises(TooFast) as refusal:
            await ledger.reserve(charge(), SLOWLY)
        assert refusal.value.retry_after == 1

    async def test_what_comes_too_fast_is_not_charged_and_is_told_when_to_come_back(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        for _ in range(5):
            await ledger.reserve(charge(), SLOWLY)
        with pytest.raises(TooFast) as refusal:
            await ledger.reserve(charge(), SLOWLY)
        assert refusal.value.retry_after == 1
        assert await left(ledger, ("visitor", 1000)) == 995

    async def test_what_is_asked_again_under_its_key_costs_no_units_and_keeps_the_pace_all_the_same(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        answers = await asyncio.gather(
            *(ledger.reserve(charge(5, repeat="key"), SLOWLY) for _ in range(20)), return_exceptions=True
        )
        let_in = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert (len(let_in), len({answer.charge for answer in let_in})) == (5, 1)
        assert all(isinstance(answer, TooFast) for answer in answers if isinstance(answer, BaseException))
        clock.pass_seconds(0.5)
        assert (await ledger.reserve(charge(5, repeat="key"), SLOWLY)).known

    async def test_whose_reply_was_lost_is_never_told_to_be_too_fast(self, ledger: Ledger) -> None:
        for _ in range(4):
            await ledger.reserve(charge(), SLOWLY)
        fifth = charge(repeat="key")
        for _ in range(3):
            assert (await ledger.reserve(fifth, SLOWLY)).charge == fifth.id


class TestShedding:
    """Somebody is turned away because there is too much to do."""

    async def test_it_takes_nothing_and_is_demand(self, ledger: Ledger) -> None:
        assert await ledger.shed(new_id(), 3, VISITOR)
        assert await left(ledger, ("visitor", 5)) == 5

    async def test_nobody_is_more_demand_than_they_have_units_left(self, ledger: Ledger, clock: Clock) -> None:
        await ledger.reserve(charge(1), VISITOR)
        assert [await ledger.shed(new_id(), 2, VISITOR) for _ in range(4)] == [True, True, False, False]
        # Another of the same network: eight units together, of which one is used and four were demand.
        assert [await ledger.shed(new_id(), 1, OTHER) for _ in range(4)] == [True, True, True, False]
        await ledger.reserve(charge(4), VISITOR)
        clock.pass_seconds(86_400)
        assert await ledger.shed(new_id(), 5, VISITOR)

    async def test_who_has_no_units_left_is_told_that_instead(self, ledger: Ledger) -> None:
        await ledger.reserve(charge(4), VISITOR)
        with pytest.raises(AllowanceUsedUp) as refusal:
            await ledger.shed(new_id(), 2, VISITOR)
        assert (refusal.value.balance.ceiling, refusal.value.balance.remaining) == ("visitor", 1)

    async def test_it_keeps_the_pace_unless_that_was_asked_before(self, ledger: Ledger, clock: Clock) -> None:
        for _ in range(5):
            await ledger.shed(new_id(), 1, SLOWLY)
        with pytest.raises(TooFast):
            await ledger.shed(new_id(), 1, SLOWLY)
        with pytest.raises(TooFast):
            await ledger.reserve(charge(), SLOWLY)
        assert await ledger.shed(new_id(), 1, SLOWLY, paced=False)
        clock.pass_seconds(0.5)
        assert await ledger.shed(new_id(), 1, SLOWLY)

    async def test_a_reply_that_was_lost_counts_once(self, ledger: Ledger) -> None:
        twice = new_id()
        assert [await ledger.shed(twice, 3, VISITOR) for _ in range(5)] == [True] * 5
        assert await ledger.shed(new_id(), 2, VISITOR)
        over = new_id()
        assert [await ledger.shed(over, 1, VISITOR) for _ in range(2)] == [False] * 2
        slow = new_id()
        assert all([await ledger.shed(slow, 1, SLOWLY) for _ in range(20)])

    async def test_a_counter_without_a_limit_says_nothing(self, ledger: Ledger) -> None:
        assert all([await ledger.shed(new_id(), 5, under(("account", 100), ("visitor", None))) for _ in range(20)])
        assert not await ledger.shed(new_id(), 5, under(("account", 100), ("visitor", None)))


class TestTakingOver:
    """A new account begins with what its owner has used, and has the rest for them."""

    async def test_it_begins_with_the_most_that_was_used_and_leaves_nothing_behind(self, ledger: Ledger) -> None:
        taken = await ledger.reserve(charge(2), under(("visitor", 5), ("device", 5)))
        await ledger.reserve(charge(1), under(("device", 5), ("guest", 5)))
        theirs = under(("visitor", 5), ("device", 5), ("guest", None))(taken.day).ceilings
        new = await ledger.reserve(charge(), under(("new", 1)))
        assert await ledger.carry(new.charge, taken.day, "account", theirs) == 3
        assert await left(ledger, ("account", 10)) == 7
        assert await left(ledger, ("visitor", 5)) == await left(ledger, ("device", 5)) == 0
        assert await left(ledger, ("guest", 5)) == 4

    async def test_a_reply_that_was_lost_changes_nothing(self, ledger: Ledger) -> None:
        taken = await ledger.reserve(charge(2), VISITOR)
        new = await ledger.reserve(charge(), under(("new", 1)))
        theirs = VISITOR(taken.day).ceilings
        answers = [await ledger.carry(new.charge, taken.day, "account", theirs) for _ in range(2)]
        assert answers == [2, 2]
        assert await left(ledger, ("account", 10)) == 8

    async def test_it_goes_back_when_no_account_comes_of_it(self, ledger: Ledger, clock: Clock) -> None:
        taken = await ledger.reserve(charge(2), VISITOR)
        theirs = VISITOR(taken.day).ceilings
        for number in range(2):
            new = await ledger.reserve(charge(), under(("new", 1)))
            assert await ledger.carry(new.charge, taken.day, f"account-{number}", theirs) == 2
            assert await left(ledger, ("visitor", 5)) == 0
            if number:
                assert await ledger.release(new.charge)
            else:
                clock.pass_seconds(61)
                assert await ledger.lapse() == 2
                await ledger.reserve(charge(2), VISITOR)
            assert await left(ledger, ("visitor", 5)) == 3
            assert await left(ledger, (f"account-{number}", 10)) == 10
            with pytest.raises(QueueUnavailable):
                await ledger.carry(new.charge, taken.day, f"account-{number}", theirs)

    @pytest.mark.parametrize("by_itself", [True, False])
    async def test_it_goes_back_from_one_who_had_used_nothing_too(
        self, ledger: Ledger, clock: Clock, by_itself: bool
    ) -> None:
        other = await ledger.reserve(charge(), under(("new", 5)))
        new = await ledger.reserve(charge(), under(("new", 5)))
        assert await ledger.carry(new.charge, new.day, "account", VISITOR(new.day).ceilings) == 0
        if by_itself:
            await ledger.spend(other.charge)
            clock.pass_seconds(61)
            assert await ledger.lapse() == 1
        else:
            assert await ledger.release(new.charge)
        assert await left(ledger, ("visitor", 5)) == 5
        assert await left(ledger, ("new", 5)) == 4


async def test_a_subjects_repeats_are_counted_only_when_they_are_admitted(ledger: Ledger) -> None:
    places = [(await ledger.reserve(charge(), VISITOR, ring=lambda today: "words")).nth for _ in range(5)]
    with pytest.raises(AllowanceUsedUp):
        await ledger.reserve(charge(), VISITOR, ring=lambda today: "words")
    assert places == [0, 1, 2, 3, 4]
    assert (await ledger.reserve(charge(), OTHER, ring=lambda today: "other words")).nth == 0


def watched(*limits: int | None, who: str = "a", member: str = "") -> tuple[Seen, ...]:
    return tuple(Seen(f"thing-{number}:{who}", 60_000, limit, member) for number, limit in enumerate(limits))


async def test_what_is_watched_is_counted_with_the_units_and_in_refusals_too(ledger: Ledger) -> None:
    told: list[Sequence[int]] = []
    for _ in range(5):
        await ledger.reserve(charge(), VISITOR, watched=watched(None, None), tell=told.append)
    with pytest.raises(AllowanceUsedUp):
        await ledger.reserve(charge(), VISITOR, watched=watched(None), tell=told.append)
    assert told == [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [6]]


async def test_different_members_are_counted_once_each(ledger: Ledger) -> None:
    told: list[Sequence[int]] = []
    for member in ("x", "y", "x", "z"):
        await ledger.reserve(charge(), VISITOR, watched=watched(None, member=member), tell=told.append)
    assert told == [[1], [2], [2], [3]]


async def test_above_a_limit_nothing_is_taken_and_who_asks_is_told(ledger: Ledger) -> None:
    for _ in range(2):
        await ledger.reserve(charge(), VISITOR, watched=watched(None, 2))
    with pytest.raises(Unusual) as unusual:
        await ledger.reserve(charge(), VISITOR, watched=watched(None, 2))
    assert unusual.value.counts == [3, 3]
    assert await left(ledger, ("visitor", 5)) == 3
    # Who has shown to be a person asks again, unwatched.
    assert (await ledger.reserve(charge(), VISITOR)).balance.remaining == 2


class TestAnUnusualRequest:
    """It is refused, or asked to show that it is a person's: both cost us something."""

    async def test_keeps_the_pace(self, ledger: Ledger, clock: Clock) -> None:
        async def refusals(tries: int) -> list[type[Exception]]:
            found: list[type[Exception]] = []
            for _ in range(tries):
                with pytest.raises((Unusual, TooFast)) as refusal:
                    await ledger.reserve(charge(), SLOWLY, watched=watched(0))
                found.append(refusal.type)
            return found

        assert await refusals(7) == [Unusual] * 5 + [TooFast] * 2
        clock.pass_seconds(0.5)
        assert await refusals(2) == [Unusual, TooFast]

    async def test_is_paced_once_when_it_is_let_in_after_all(self, ledger: Ledger) -> None:
        for _ in range(5):
            with pytest.raises(Unusual):
                await ledger.reserve(charge(), SLOWLY, watched=watched(0))
            await ledger.reserve(charge(), SLOWLY, paced=False)
        with pytest.raises(TooFast):
            await ledger.reserve(charge(), SLOWLY)


class TestEvidenceOfARequestWhoseReplyWasLost:
    """Redis has worked, nobody has heard of it, and the same is sent again."""

    @staticmethod
    async def sent_again(
        ledger: Ledger, same: Charge, allowance: Callable[[DayKey], Allowance], *limits: int | None
    ) -> list[Sequence[int]]:
        told: list[Sequence[int]] = []
        things = (*watched(*limits), *watched(*limits, who="b", member="x"))
        for _ in range(3):
            with suppress(AllowanceUsedUp, TooFast, IdempotencyConflict, Unusual):
                await ledger.reserve(same, allowance, watched=things, tell=told.append)
        return told

    async def test_is_counted_once_when_it_was_let_in(self, ledger: Ledger) -> None:
        assert await self.sent_again(ledger, charge(), VISITOR, None) == [[1, 1]] * 3

    async def test_is_counted_once_when_it_was_refused(self, ledger: Ledger) -> None:
        assert await self.sent_again(ledger, charge(6), VISITOR, None) == [[1, 1]] * 3
        for _ in range(5):
            await ledger.reserve(charge(), SLOWLY)
        assert await self.sent_again(ledger, charge(), SLOWLY, None) == [[2, 1]] * 3
        await ledger.reserve(charge(repeat="key", body="one"), OTHER)
        assert await self.sent_again(ledger, charge(repeat="key", body="two"), OTHER, None) == [[3, 1]] * 3

    async def test_is_counted_once_and_paced_once_when_it_was_unusual(self, ledger: Ledger) -> None:
        twice = charge()
        for _ in range(3):
            with pytest.raises(Unusual) as unusual:
                await ledger.reserve(twice, SLOWLY, watched=watched(0))
            assert unusual.value.counts == [1]
        for _ in range(4):
            await ledger.reserve(charge(), SLOWLY)

    async def test_is_counted_once_and_paced_once_when_it_repeats_another(self, ledger: Ledger) -> None:
        await ledger.reserve(charge(repeat="key"), SLOWLY)
        again = charge(repeat="key")
        told = await self.sent_again(ledger, again, SLOWLY, None)
        assert told == [[1, 1]] * 3
        for _ in range(3):
            await ledger.reserve(charge(), SLOWLY)


async def test_every_key_expires(ledger: Ledger, client: Redis) -> None:
    taken = await ledger.reserve(charge(2, repeat="key"), VISITOR, ring=lambda today: "words")
    await ledger.reserve(charge(), under(("visitor", 5), burst=Burst(), counter="n:here"))
    await ledger.reserve(charge(), VISITOR, watched=(*watched(None), *watched(None, who="b", member="x")))
    await ledger.carry(taken.charge, taken.day, "fresh", VISITOR(taken.day).ceilings)
    await client.xadd(STREAM, {"charge": taken.charge, "price": "2", "day": "20000"})
    await ledger.refund(STREAM)
    await ledger.shed(new_id(), 1, under(("visitor", 9), burst=Burst(), counter="n:here"))
    keys = [key async for key in client.scan_iter(f"{PREFIX}:*")]
    kinds = {key.removeprefix(f"{PREFIX}:").partition(":")[0] for key in keys}
    assert kinds == {"use", "charge", "pending", "repeat", "rate", "ring", "seen", "settled", "shed", "day", "told"}
    for key in keys:
        assert 0 < await client.pttl(key) <= 86_400_000 + KEEP_MS, key


async def test_without_redis_nothing_is_decided(tmp_path_factory: pytest.TempPathFactory) -> None:
    with RedisProcess(bundled_redis(), tmp_path_factory.mktemp("redis")) as server:
        client = Redis.from_url(server.url, decode_responses=True)
        ledger = make_ledger(client)
        await ledger.reserve(charge(), VISITOR)
        server.kill()
        with pytest.raises(QueueUnavailable):
            await ledger.reserve(charge(), VISITOR)
        server.start()
        assert (await ledger.look(VISITOR)).remaining == 5
        await client.aclose()
