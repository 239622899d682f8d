"""Prometheus, Redis or the API server away for a minute: what can be served is served, the conditions say it, all recovers alone."""

import time
from collections.abc import Callable

import httpx
import pytest

from cluster import Cluster
from cluster.control_plane import API_SERVER
from support.prometheus import NAMESPACE
from support.rota import PRIMARY, Rota, rota_pool, tier
from support.scaling import scaled_away

Record = Callable[[str, object], None]
AWAY_SECONDS = 60.0


def until_a_minute_is_over(rota: Rota, since: float) -> None:
    """That is how long it is away."""
    rota.until("a minute is over", lambda: time.monotonic() - since >= AWAY_SECONDS, AWAY_SECONDS + 1)


@pytest.mark.budget(120)
def test_without_prometheus_the_counters_in_redis_stand_in(rota: Rota, record_property: Record) -> None:
    before = rota.lives()
    rota.until("demand comes from Prometheus", lambda: rota.says("DemandSourceAvailable", "Prometheus"))
    with rota.traffic("base", "red") as visitors:
        with scaled_away(rota.service.kubectl, "deployment/prometheus", NAMESPACE):
            started = time.monotonic()
            fallen = rota.until(
                "the condition says who stands in, and why",
                lambda: rota.says("DemandSourceAvailable", "FallbackInUse", "stand in", status="False"),
            )
            record_property("Prometheus away to said so, s", round(time.monotonic() - started, 1))
            record_property("what the condition says", fallen["message"] if fallen else "")
            rota.made("green")
            until_a_minute_is_over(rota, started)
        started = time.monotonic()
        rota.until("demand comes from Prometheus again", lambda: rota.says("DemandSourceAvailable", "Prometheus"))
        record_property("Prometheus back to said so, s", round(time.monotonic() - started, 1))
    outcome = visitors.outcome()
    assert (outcome.lost, outcome.refused) == ([], [])
    assert rota.lives() == before


@pytest.mark.budget(150)
def test_without_redis_nothing_is_accepted_and_nothing_is_lost(rota: Rota, record_property: Record) -> None:
    before = rota.lives()
    with rota.traffic("base", "red") as visitors:
        visitors.flows()
        with scaled_away(rota.service.kubectl, "statefulset/modelpool-redis", rota.service.namespace):
            started = time.monotonic()
            rota.until("the pool says that Redis is away", lambda: rota.says("Ready", "Redis", status="False"))
            record_property("Redis away to said so, s", round(time.monotonic() - started, 1))
            assert httpx.get(f"{rota.url}/healthz", trust_env=False).is_success, "the API is there"
            answer = httpx.post(
                f"{rota.url}/v1/jobs", json={"model": "base", "prompt": "x"}, trust_env=False, timeout=30
            )
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert "Retry-After" in answer.headers
            until_a_minute_is_over(rota, started)
        started = time.monotonic()
        visitors.flows()
        record_property("Redis back to jobs flowing, s", round(time.monotonic() - started, 1))
        rota.until_served()
    outcome = visitors.outcome()
    record_property("traffic", str(outcome))
    assert outcome.lost == [], "what was accepted before is made afterwards"
    assert outcome.refused
    assert all(refusal.startswith("503") for refusal in outcome.refused)
    assert rota.lives() == before, "no worker was restarted"


@pytest.mark.budget(180)
def test_without_the_api_server_all_serve_on_and_what_was_asked_meanwhile_is_done_afterwards(
    rota: Rota, cluster: Cluster, record_property: Record
) -> None:
    rota.made("red")
    before, machine = rota.lives(), cluster.control_plane.machine
    with rota.traffic("base") as visitors:
        visitors.flows()
        machine.kill(API_SERVER)
        started = time.monotonic()
        try:
            visitors.flows()
            rota.made("green")  # a swap, which needs the operator and no API server
            rota.made("red")
            until_a_minute_is_over(rota, started)
            visitors.flows()
        finally:
            machine.start_again(API_SERVER)
            cluster.control_plane.wait_until_ready()
        started = time.monotonic()
        more = rota_pool()
        tier(more, "primary")["slots"] = len(PRIMARY) + 1
        rota.apply(more)
        rota.until("the operator has made the pod of the new slot", lambda: "rota-primary-2" in rota.pods())
        record_property("API server back to the new slot's pod, s", round(time.monotonic() - started, 1))
        rota.until_served()  # Kubernetes' own scheduler takes its time to look again
        record_property("API server back to one more slot serving, s", round(time.monotonic() - started, 1))
    outcome = visitors.outcome()
    assert (outcome.lost, outcome.refused) == ([], [])
    assert before.items() <= rota.lives().items(), "no worker was restarted"
