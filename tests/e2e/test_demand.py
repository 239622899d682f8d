"""Models follow what is asked for: a swap when traffic moves, one ahead of it, video on demand, a lent slot that goes home."""

from collections.abc import Callable
from statistics import median

import httpx
import pytest

from cluster import Cluster
from cluster.kubectl import Object
from support.prometheus import NAMESPACE
from support.reach import address_of
from support.rota import FILM, LOAD_SECONDS, SECONDARY, Rota, notes, rota_pool, tier

Record = Callable[[str, object], None]


def lending() -> Object:
    """The pool, whose film slot helps out while it is idle."""
    pool = rota_pool()
    tier(pool, "film")["lend"] = True
    return pool


def told(rota: Rota, before: list[Object], reason: str, *words: str) -> str:
    """The note of the event with this reason and these words, once it is there."""

    def found() -> str:
        return next((n for n in notes(rota.events(before)) if n.startswith(reason) and all(w in n for w in words)), "")

    return rota.until(f"an event {reason} with {words} is there", found, 60)


@pytest.mark.budget(60)
def test_traffic_moves_to_another_model_which_comes_at_once_and_the_one_that_is_expected_comes_back_unasked(
    rota: Rota, record_property: Record
) -> None:
    rota.made("red")
    rota.until("red is hot", lambda: rota.slot(SECONDARY)["hot"] == ["red"])

    before = rota.events()
    job = rota.made("green")
    record_property("green asked for to green made, s", round(job["durations"]["waited"] / 1000, 2))
    told(
        rota, before, "DemandMiss", f"load green in {SECONDARY}: 1 job waits for green, which was hot nowhere", "score"
    )
    told(rota, before, "MakeRoom", f"unload red in {SECONDARY}", "green comes instead")
    rota.until("the status says that green is hot", lambda: rota.model("green").get("state") == "Hot")
    assert rota.slot(SECONDARY)["hot"] == ["green"]
    assert rota.model("red")["state"] in ("Cold", "Warm")

    # Many have asked for red, and one for green: nobody has to ask again.
    with rota.traffic("red") as visitors:
        visitors.flows(20)
    visitors.outcome()
    rota.made("green")
    before = rota.events()
    note = told(rota, before, "ProactiveSwap", f"load red in {SECONDARY}: red is expected soon", "score")
    record_property("what the event says", note)
    rota.until("red is hot again though nobody asked", lambda: rota.slot(SECONDARY)["hot"] == ["red"])


@pytest.mark.budget(60)
def test_a_miss_is_told_to_the_worker_at_once(rota: Rota, record_property: Record) -> None:
    # A job waits for the load, and for everything else: to be seen by the operator, told to the worker, and claimed.
    waits = [rota.made(model)["durations"]["waited"] / 1000 - LOAD_SECONDS for model in ("green", "red") * 5]
    record_property("miss to load and load to claim together, s", f"p50 {median(waits):.3f}, longest {max(waits):.3f}")
    assert max(waits) < 0.5


@pytest.mark.budget(30)
def test_prometheus_has_seen_it_and_the_figures_of_the_status_are_its(rota: Rota, cluster: Cluster) -> None:
    with rota.traffic("red") as visitors:
        visitors.flows(5)
    url = f"http://{address_of(cluster.kubectl, 'prometheus', NAMESPACE)}/api/v1/query"
    question = {"query": f'sum(modelpool_requests_total{{pool="{rota.service.namespace}/rota",model="red"}})'}

    def counted() -> float:
        answer = httpx.get(url, params=question, timeout=5, trust_env=False)
        found = answer.json()["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    rota.until("Prometheus has counted what was asked", lambda: counted() >= visitors.accepted, 60)
    rota.until(
        "the demand of the status comes from Prometheus", lambda: rota.says("DemandSourceAvailable", "Prometheus")
    )
    rota.until("the status shows that red is asked for", lambda: rota.model("red")["perMinute"] > 0)


@pytest.mark.budget(60)
def test_a_video_model_comes_on_demand_sends_a_guest_home_and_leaves_when_idle(
    rota: Rota, record_property: Record
) -> None:
    rota.made("red")
    rota.apply(lending())
    rota.until_served()

    before = rota.events()
    rota.made("green")
    told(rota, before, "DemandMiss", f"load green in {FILM}")
    rota.until("green is a guest in the film slot", lambda: rota.slot(FILM)["hot"] == ["green"])
    assert rota.slot(SECONDARY)["hot"] == ["red"], "nobody had to go"

    before = rota.events()
    film = rota.made("motion")
    record_property("a film asked for to made, from a lent slot, s", round(film["durations"]["waited"] / 1000, 2))
    assert film["result"]["frames"] == 2
    told(rota, before, "GoHome", f"unload green in {FILM}")
    told(rota, before, "DemandMiss", f"load motion in {FILM}")

    told(rota, before, "Idle", f"unload motion in {FILM}: nobody has used motion for 5 s")
    rota.until("the film slot is empty", lambda: not rota.slot(FILM)["hot"])
    assert rota.slot(FILM)["phase"] == "Ready"
