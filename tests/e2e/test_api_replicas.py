"""Several replicas of the API are one to those who use it: one quota, no dropped requests, no log-outs."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.front_door import KEY, PER_COOKIE, PER_KEY, front_door_secret
from support.rota import Rota

Record = Callable[[str, object], None]
REPLICAS = 2
ASKED = 50
ACCEPTED, REFUSED = 202, 429


@pytest.mark.once  # it uses up what its key may ask for in a day
@pytest.mark.budget(30)
def test_two_replicas_share_one_quota_exactly(rota: Rota, cluster: object) -> None:
    urls = [f"http://{pod['status']['podIP']}:8080" for pod in rota.replicas()]
    assert len(urls) == REPLICAS
    body = {"model": "base", "prompt": "a small boat", "seed": "random"}
    with httpx.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=60, trust_env=False) as http:

        def ask(number: int) -> int:
            return http.post(f"{urls[number % REPLICAS]}/v1/jobs", json=body).status_code

        left = http.get(f"{urls[0]}/v1/quota").json()["remaining"]
        assert 0 < left <= PER_KEY, "the day's units of this key are used up only by this scenario"
        with ThreadPoolExecutor(max_workers=ASKED) as crowd:
            answers = list(crowd.map(ask, range(ASKED)))
        assert (answers.count(ACCEPTED), answers.count(REFUSED)) == (left, ASKED - left)
        assert [http.get(f"{url}/v1/quota").json()["remaining"] for url in urls] == [0, 0]


@pytest.mark.budget(90)
def test_a_rolling_restart_that_brings_a_new_secret_drops_nobody_and_logs_nobody_out(
    rota: Rota, record_property: Record
) -> None:
    kubectl, here = rota.service.kubectl, f"--namespace={rota.service.namespace}"
    before = {pod["metadata"]["uid"] for pod in rota.replicas()}
    with (
        httpx.Client(base_url=rota.url, timeout=30, trust_env=False) as visitor,
        rota.traffic("base", pause=0.1) as visitors,
    ):
        body = {"model": "base", "prompt": "a small boat", "seed": "random"}
        for _ in range(2):  # the first answer brings the cookie, the second request shows it
            assert visitor.post("/v1/jobs", json=body).status_code == ACCEPTED
        left = visitor.get("/v1/quota").json()
        assert (left["ceiling"], left["remaining"]) == ("visitor", PER_COOKIE - 1)

        started = time.monotonic()
        kubectl.apply(front_door_secret("a-newer-text-that-signs-cookies,"), namespace=rota.service.namespace)
        kubectl("rollout", "restart", "deployment/modelpool-api", here)
        kubectl("rollout", "status", "deployment/modelpool-api", here, "--timeout=120s", seconds=130)
        rota.until("the old replicas are gone", lambda: not before & {p["metadata"]["uid"] for p in rota.replicas()})
        record_property("two replicas replaced, s", round(time.monotonic() - started, 1))
        visitors.flows()

        assert visitor.get("/v1/quota").json()["remaining"] == PER_COOKIE - 1, "the old cookie is still believed"
        assert visitor.post("/v1/jobs", json=body).status_code == ACCEPTED
        assert visitor.get("/v1/quota").json()["remaining"] == PER_COOKIE - 2
    outcome = visitors.outcome()
    record_property("traffic", f"{outcome}, {outcome.asked_twice} asked twice")
    assert (outcome.lost, outcome.refused, outcome.asked_twice) == ([], [], 0)
