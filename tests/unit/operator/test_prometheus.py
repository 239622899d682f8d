"""Prometheus' answers become rates; whatever else comes back is said in one sentence."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from modelpool.errors import QueueUnavailable
from modelpool.resources.pool import PoolRef
from modelpool_operator.demand.port import Demand
from modelpool_operator.demand.prometheus import DemandUnavailable, Prometheus
from modelpool_operator.demand.stand_in import WithStandIn
from modelpool_operator.planner.forecast import recent_rate

NOW = 1_700_000_000_000
POOL, WINDOW = PoolRef("art", "studio"), 600


def series(model: str, ages: dict[int, float], pool: str = "art/studio", step: int = 60) -> dict[str, Any]:
    """Values by their age in steps, as the API of Prometheus 2.42 gives them."""
    values = [[NOW / 1000 - age * step, str(value)] for age, value in sorted(ages.items(), reverse=True)]
    return {"metric": {"pool": pool, "model": model}, "values": values}


def answer(recent: list[dict[str, Any]], long: list[dict[str, Any]] | None = None) -> "Recorder":
    return Recorder(
        lambda form: httpx.Response(
            200,
            json={
                "status": "success",
                "data": {"resultType": "matrix", "result": (long or []) if form["step"] == "900" else recent},
            },
        )
    )


class Recorder:
    """Answers as told and keeps the questions."""

    def __init__(self, respond: Callable[[dict[str, str]], httpx.Response]) -> None:
        self.asked: list[dict[str, str]] = []
        self.now = NOW
        self._respond = respond
        http = httpx.AsyncClient(base_url="http://me:secret@prom:9090", transport=httpx.MockTransport(self._handle))
        self.prometheus = Prometheus(http, lambda: self.now)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        self.asked.append(form)
        return self._respond(form)

    async def read(self, pool: PoolRef = POOL) -> Demand:
        await self.prometheus.ask()
        return await self.prometheus.of(pool).read(self.now, WINDOW)


async def test_minutes_become_a_rate_and_missing_ones_are_quiet() -> None:
    found = await answer([series("flat", {0: 6.0, 1: 3.0, 4: 9.0})]).read()
    assert found.recent["flat"] == pytest.approx(recent_rate([0] * 5 + [9, 0, 0, 3, 6], WINDOW))


async def test_minutes_before_the_window_do_not_count() -> None:
    found = await answer([series("flat", {0: 0.0, 10: 50.0})]).read()
    assert found.recent["flat"] == 0


async def test_the_long_rate_is_the_mean_since_somebody_first_asked() -> None:
    long = [series("flat", {0: 9.0, 1: 0.0, 2: 18.0, 3: 0.0}, step=900)]
    found = await answer([series("flat", {0: 0.0})], long).read()
    assert found.long_term["flat"] == pytest.approx(27 / 2700)
    assert found.asked_at["flat"] == NOW


async def test_each_pool_gets_its_own_figures_of_one_answer() -> None:
    asked = answer([series("flat", {0: 6.0}), series("flat", {0: 60.0}, pool="music/band")])
    first = await asked.read()
    second = await asked.prometheus.of(PoolRef("music", "band")).read(NOW, WINDOW)
    assert second.recent["flat"] == pytest.approx(10 * first.recent["flat"])
    assert len(asked.asked) == 2


async def test_the_day_is_asked_for_every_ten_minutes_only_and_the_longest_window_decides() -> None:
    asked = answer([series("flat", {0: 1.0})])
    await asked.prometheus.ask()
    await asked.read()
    assert [form["step"] for form in asked.asked] == ["60", "900", "60"]
    asked.now += 600_000
    await asked.prometheus.ask()
    assert [form["step"] for form in asked.asked[3:]] == ["60", "900"]
    spans = [float(form["end"]) - float(form["start"]) for form in asked.asked if form["step"] == "60"]
    assert spans == [3540.0, 3540.0, 540.0]


@pytest.mark.parametrize(
    ("respond", "sentence"),
    [
        (lambda form: httpx.Response(503, text="down"), "what answers at http://prom:9090 is no Prometheus"),
        (lambda form: httpx.Response(200, text="<html>"), "what answers at http://prom:9090 is no Prometheus"),
        (
            lambda form: httpx.Response(400, json={"status": "error", "error": "bad_data: no"}),
            "Prometheus refuses the question: bad_data: no",
        ),
        (
            lambda form: httpx.Response(200, json={"status": "success", "data": {"result": []}}),
            "Prometheus has no modelpool_requests_total of pool art/studio",
        ),
        (
            lambda form: httpx.Response(200, content=json.dumps(["x"])),
            "what answers at http://prom:9090 is no Prometheus",
        ),
    ],
    ids=["down", "a page", "refused", "no series", "a list"],
)
async def test_what_is_no_answer_is_told_in_one_sentence(
    respond: Callable[[dict[str, str]], httpx.Response], sentence: str
) -> None:
    with pytest.raises(DemandUnavailable) as told:
        await Recorder(respond).read()
    assert told.value.message.startswith(sentence)
    assert "secret" not in told.value.message


async def test_figures_that_stop_coming_are_no_demand_of_zero() -> None:
    with pytest.raises(DemandUnavailable, match="every 60 s at the least"):
        await answer([series("flat", {6: 5.0, 7: 5.0})]).read()


class Source:
    def __init__(self, outcome: Demand | Exception) -> None:
        self.outcome = outcome

    async def read(self, now: int, window_seconds: int) -> Demand:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def test_the_stand_in_answers_only_when_the_first_cannot_and_says_so() -> None:
    first, other = Demand(source="Prometheus"), Demand({"flat": 1.0}, source="the counters")
    assert await WithStandIn(Source(first), Source(other)).read(NOW, WINDOW) == first
    found = await WithStandIn(Source(DemandUnavailable("it is away")), Source(other)).read(NOW, WINDOW)
    assert (found.recent, found.source, found.stands_in_for) == ({"flat": 1.0}, "the counters", "it is away")


async def test_when_neither_answers_the_error_is_the_stand_ins() -> None:
    both = WithStandIn(Source(DemandUnavailable("it is away")), Source(QueueUnavailable("Redis, too")))
    with pytest.raises(QueueUnavailable):
        await both.read(NOW, WINDOW)
