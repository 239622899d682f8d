"""Whatever happens in whatever order, what is used is the sum of what was taken and not given back."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from modelpool_api.door_scripts import PREFIX
from modelpool_api.quota.refusals import AllowanceUsedUp
from support.ledgers import charge, make_ledger, under
from support.queues import Clock

LIMITS = {"visitor": 7, "device": 5, "network": 12}
STREAM = "mpl:{default/studio}:refunds"

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sets(st.sampled_from(sorted(LIMITS)), min_size=1), st.integers(1, 4)),
        st.tuples(st.just("release"), st.integers(0, 9)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("enqueue"), st.integers(0, 9)),
        st.tuples(st.just("pass"), st.sampled_from([1, 61, 40_000])),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
@pytest.mark.parametrize("kind", ["redis6", "redis7"])
def test_charges_and_refunds_balance(
    request: pytest.FixtureRequest, kind: str, steps: list[tuple[object, ...]]
) -> None:
    server = request.getfixturevalue(kind)
    server.flush()
    asyncio.run(_connected(server.url, steps))


async def _connected(url: str, steps: list[tuple[object, ...]]) -> None:
    async with Redis.from_url(url, decode_responses=True) as client:
        await _balance(client, steps)


async def _balance(client: Redis, steps: list[tuple[object, ...]]) -> None:
    clock = Clock(20_000 * 86_400_000)
    ledger = make_ledger(client, clock)
    taken: list[dict[str, object]] = []

    def used(day: int) -> Counter[str]:
        live = [one for one in taken if one["live"] and one["day"] == day]
        return Counter({name: sum(int(str(o["price"])) for o in live if name in str(o["under"])) for name in LIMITS})

    for step in steps:
        today = clock.now // 86_400_000
        match step:
            case ("take", set(names), int(price)):
                wanted = sorted(map(str, names))
                fits = all(used(today)[name] + price <= LIMITS[name] for name in wanted)
                one = charge(price, witness=f"job:{len(taken)}")
                allowed = under(*((name, LIMITS[name]) for name in wanted))
                if not fits:
                    with pytest.raises(AllowanceUsedUp) as refusal:
                        await ledger.reserve(one, allowed)
                    assert refusal.value.balance.remaining == min(LIMITS[n] - used(today)[n] for n in wanted)
                    continue
                await ledger.reserve(one, allowed)
                at = {"id": one.id, "price": price, "under": wanted, "day": today, "at": clock.now}
                taken.append({**at, "live": True, "pending": True, "witness": one.witness, "there": False})
            case ("pass", int(seconds)):
                clock.pass_seconds(seconds)
                await ledger.lapse()
                for found in taken:
                    if found["pending"] and clock.now - int(str(found["at"])) >= 60_000:
                        found["pending"] = False
                        found["live"] = bool(found["live"] and found["there"])
            case (str(what), int(index)) if index < len(taken):
                found = taken[index]
                if what == "enqueue":
                    await client.set(str(found["witness"]), "1")
                    found["there"] = True
                elif what == "release":
                    assert await ledger.release(str(found["id"])) == found["live"]
                    found["live"] = found["pending"] = False
                else:
                    await client.xadd(STREAM, {"charge": str(found["id"]), "price": "1", "day": "1"})
                    assert await ledger.refund(STREAM) == int(bool(found["live"]))
                    found["live"] = found["pending"] = False
            case _:
                continue
        for day in {int(str(one["day"])) for one in taken}:
            stands = {n: int(await client.get(f"{PREFIX}:use:{day}:{n}") or 0) for n in LIMITS}
            assert stands == {name: used(day)[name] for name in LIMITS}
            assert all(stands[name] <= LIMITS[name] for name in LIMITS)
