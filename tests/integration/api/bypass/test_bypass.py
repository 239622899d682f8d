"""Nobody gets more than the table in docs/security.md says, and honest people get what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from modelpool.queue.redis import RedisQueue
from support.attacks import ATTACKS, HONEST, PRICE, PROXY, Case, Stage
from support.openid import Provider, openid_provider
from support.queues import Clock
from support.running_api import CATALOG, POOL, model, published
from support.visitors import SECRET, Door, door_settings, open_door

ADMISSION = f"""
profile: public
identity: {{trustedProxies: [{PROXY}/32], PROVIDER}}
anonymous: {{burst: {{perSecond: 100000, burst: 100000}}}}
plans:
  account: {{perDay: 100, perPrefix: 500, perSite: 2000, burst: {{perSecond: 100000, burst: 100000}}}}
  paid: {{lane: paid, perDay: 5000}}
"""
DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "security.md"


def _name(case: Case) -> str:
    return getattr(case.play, "__name__", case.what)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with openid_provider() as provider:
        yield provider


@pytest.fixture
async def stage(redis_url_any: str, tmp_path: Path, case: Case, provider: Provider) -> AsyncIterator[Stage]:
    """The public ceilings, at noon, with a model whose pictures cost ten units."""
    clock = Clock(20_000 * 86_400_000 + 12 * 3_600_000)
    catalog = CATALOG.model_copy(update={"models": (*CATALOG.models, model("poster", quotaUnits=PRICE))})
    admission = ADMISSION.replace("PROVIDER", provider.admission) + case.admission
    async with AsyncExitStack() as stack:
        redis, board = await stack.enter_async_context(published(redis_url_any))
        await board.put_catalog(catalog)

        async def another(secrets: str) -> Door:
            settings = door_settings(redis_url_any, tmp_path, admission, secret=secrets)
            return await stack.enter_async_context(open_door(settings, clock))

        yield Stage(await another(SECRET), clock, RedisQueue(POOL, redis), provider, another)


@pytest.mark.parametrize("case", ATTACKS, ids=_name)
async def test_who_cheats_gets_no_more_than_the_bound(stage: Stage, case: Case) -> None:
    assert await case.play(stage) == case.bound


@pytest.mark.parametrize("case", HONEST, ids=_name)
async def test_who_is_honest_gets_their_share(stage: Stage, case: Case) -> None:
    assert await case.play(stage) == case.bound


@pytest.mark.parametrize("case", [*ATTACKS, *HONEST], ids=_name)
def test_the_documented_table_is_the_tested_one(case: Case) -> None:
    assert f"| {case.what} | {case.bound:,} | {case.why} |" in DOCUMENT.read_text().splitlines()
