"""The edge: nginx with the chart's configuration in front of the real API, each promise of docs/operations.md."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from modelpool.store.sweep import RESULT_LIFE_MS
from modelpool_api.settings import Settings
from support import wait_until
from support.nginx_edge import EDGE, MakeEdge, NginxEdge, edge_configuration
from support.one_moment import Answered, Sent, at_one_moment
from support.running_api import PAID_KEY, Api, published, ready, served_api
from support.witness import Witness

MIB = 2**20
JOB = {"model": "shapes", "prompt": "a red circle", "seed": "random"}
ABOUT_61 = (61, 62)
"""Of this many that a limit lets in, two workers at one moment may let in one more."""
SLOW_PLANS = {"plans": {"account": {"perDay": 100}}}
"""With no faster plan the edge's limits may be so low that a slow machine counts as a fast one does."""


def generation(headers: dict[str, str] | None = None, source: str | None = None, path: str = "/v1/jobs") -> Sent:
    """One more picture, please."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    return Sent("POST", path, sent, json.dumps(JOB).encode(), source)


def of(address: str) -> dict[str, str]:
    """What a load balancer says of a client."""
    return {"X-Forwarded-For": address}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def statuses(answers: Sequence[Answered]) -> dict[int, int]:
    """How many there are of each."""
    return dict(Counter(answer.status for answer in answers))


def client(edge: NginxEdge, address: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
    """A client at an address of this machine."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=edge.url, transport=transport, timeout=20, **options)


async def logged(edge: NginxEdge, request_id: str) -> dict[str, Any]:
    """The line of the access log; it is written when the answer is on its way already."""
    found = await wait_until(lambda: [line for line in edge.requests() if line["request_id"] == request_id])
    return found[0]


def a_problem(answer: Answered | httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer's body, which is a problem as the API writes it."""
    got = answer.status if isinstance(answer, Answered) else answer.status_code
    assert (got, answer.headers["content-type"]) == (status, "application/problem+json")
    found: dict[str, Any] = json.loads(answer.body if isinstance(answer, Answered) else answer.content)
    assert {"type", "title", "status", "detail", "instance", "error"} <= set(found)
    assert {"message", "type", "code", "param"} == set(found["error"])
    assert (found["status"], found["error"]["code"]) == (status, code)
    assert found["error"]["message"] == found["detail"]
    return found


# --- how much --------------------------------------------------------------------------------------------------------


async def test_six_generation_requests_at_one_moment_are_let_in_and_no_more(api: Api, edge: NginxEdge) -> None:
    answers = await at_one_moment(edge.port, [generation()] * 12)
    assert statuses(answers) == {202: 6, 429: 6}


async def test_afterwards_two_a_second_are(api: Api, edge: NginxEdge) -> None:
    started = time.monotonic()
    let_in = statuses(await at_one_moment(edge.port, [generation()] * 8))[202]
    assert let_in == 6
    while let_in < 9:
        let_in += statuses(await at_one_moment(edge.port, [generation()])).get(202, 0)
    # Three more after the burst: one each half second, the first of them half a second after it.
    assert time.monotonic() - started > 1.4


async def test_who_is_too_fast_hears_it_as_the_api_would_say_it(api: Api, edge: NginxEdge) -> None:
    (refused, *_) = [a for a in await at_one_moment(edge.port, [generation()] * 8) if a.status == 429]
    told = a_problem(refused, 429, "too_many_requests")
    assert told["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert told["error"]["type"] == "rate_limit_error"
    assert told["instance"] == "/v1/jobs"
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["cache-control"] == "no-store"


async def test_a_refusal_of_the_api_passes_as_it_is(api: Api, edge: NginxEdge) -> None:
    answer = (await at_one_moment(edge.port, [Sent("GET", "/v1/jobs/absent")]))[0]
    assert a_problem(answer, 404, "job_not_found")["instance"] == "/v1/jobs/absent"


async def test_polls_events_and_pages_are_not_limited_like_generation(api: Api, edge: NginxEdge) -> None:
    job = await api.submit()
    for path in (f"/v1/jobs/{job}", "/docs/assets/swagger-ui.css", "/"):
        assert statuses(await at_one_moment(edge.port, [Sent("GET", path)] * 40)) == {200: 40}
    assert statuses(await at_one_moment(edge.port, [generation()] * 6)) == {202: 6}


async def test_all_requests_of_a_network_have_a_generous_limit_of_their_own(api: Api, make_edge: MakeEdge) -> None:
    edge = make_edge(SLOW_PLANS, limits={"everything": {"perSecond": 2, "burst": 60}})
    first, other = [Sent("GET", "/v1/models", source=f"127.0.0.{number}") for number in (2, 3)]
    answers = await at_one_moment(edge.port, [first] * 70 + [other] * 50)
    assert statuses(answers[:70])[200] in ABOUT_61
    assert statuses(answers[70:]) == {200: 50}


async def test_what_is_under_way_at_one_time_is_limited(api: Api, make_edge: MakeEdge) -> None:
    edge = make_edge(limits={"connections": 3})
    job = await api.submit()
    async with client(edge) as http:
        streams = [http.stream("GET", f"/v1/jobs/{job}/events") for _ in range(3)]
        for stream in streams:
            assert (await stream.__aenter__()).status_code == 200
        a_problem(await http.get("/v1/models"), 429, "too_many_requests")
        for stream in streams:
            await stream.__aexit__(None, None, None)

        async def let_in() -> bool:
            return (await http.get("/v1/models")).status_code == 200

        await wait_until(let_in)


async def test_every_route_that_makes_something_is_limited(api: Api, make_edge: MakeEdge) -> None:
    edge = make_edge(trustedProxies=["127.0.0.1/32"])
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    posts = [path for path, methods in paths.items() if "post" in methods and not path.startswith("/v1/admin/")]
    assert "/v1/jobs" in posts
    for number, path in enumerate([*posts, "/v1/to/come"]):
        path = path.replace("{", "").replace("}", "")
        answers = await at_one_moment(edge.port, [generation(of(f"192.0.2.{number}"), path=path)] * 8)
        assert (429 in statuses(answers)) is (path != "/v1/accounts"), path


# --- whose it is -----------------------------------------------------------------------------------------------------


NETWORKS = [
    ("2001:db8::1", "2001:db8::1", True),
    ("2001:db8::1", "2001:0db8:0000:0000:0000:0000:0000:0001", True),
    ("2001:db8::1", "2001:DB8::ffff:ffff:ffff:ffff", True),
    ("2001:db8::", "2001:db8:0:0:8000::", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("2001:db8:0:1::1", "2001:db8:0:1:0:0:0:2", True),
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", True),
    ("2001:db8:1:2::", "2001:db8:1:3::", False),
    ("::1", "::2", True),
    ("::1", "2001:db8::1", False),
    # Bytes that end lines elsewhere.
    ("a0a:a0a:a0a:a0a:a0a:a0a:a0a:a0a", "a0a:a0a:a0a:a0a::1", True),
    ("a0a:a0a:a0a:a0a::", "a0a:a0a:a0a:a0b::", False),
    ("10.10.10.10", "10.10.10.10", True),
    ("10.10.10.10", "10.10.10.11", False),
    ("::ffff:192.0.2.1", "192.0.2.1", True),
    ("::ffff:192.0.2.1", "::ffff:c000:201", True),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ("::ffff:192.0.2.1", "::1", False),
]
"""Two addresses each, and whether they are one network."""


@pytest.mark.parametrize(("one", "other", "one_network"), NETWORKS)
async def test_an_ipv4_address_or_an_ipv6_64_is_one_network(
    behind_proxy: NginxEdge, one: str, other: str, one_network: bool
) -> None:
    # Without an API, what is let in is a 503.
    answers = await at_one_moment(behind_proxy.port, [generation(of(one)), generation(of(other))] * 6)
    assert statuses(answers)[503] == (6 if one_network else 12)


async def test_it_listens_on_ipv6_too(api: Api, edge: NginxEdge, witness: Witness) -> None:
    answers = await at_one_moment(edge.port, [Sent("GET", "/v1/quota", source="::1")])
    assert statuses(answers) == {200: 1}
    assert witness.seen[-1][1]["x-forwarded-for"] == "::1"


def test_ipv6_can_be_switched_off_where_there_is_none() -> None:
    assert "[::]" in edge_configuration({})
    assert "[::]" not in edge_configuration({"edge": {"ipv6": False}})


@pytest.mark.parametrize(
    "admission", [f"{{profile: public, identity: {{trustedProxies: [{EDGE}]}}, anonymous: {{burst: {{burst: 50}}}}}}"]
)
async def test_a_forged_forwarded_address_gains_nothing(api: Api, edge: NginxEdge, witness: Witness) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    async with client(edge, "127.0.0.2") as cheat, client(edge, "127.0.0.3") as honest:
        for _ in range(3):
            assert (await cheat.post("/v1/jobs", json=JOB, headers=forged)).status_code == 202
        assert (await cheat.get("/v1/quota", headers=forged)).json()["remaining"] == 47
        assert (await cheat.get("/v1/quota", headers=of("198.51.100.7, 10.0.0.1"))).json()["remaining"] == 47
        assert (await honest.get("/v1/quota")).json()["remaining"] == 50
    addresses = [headers["x-forwarded-for"] for _, headers in witness.seen]
    assert addresses == ["127.0.0.2"] * 5 + ["127.0.0.3"]
    assert not any("forwarded" in headers for _, headers in witness.seen)

    # Nor at the edge itself: a new address for each request is still one network.
    faces = [generation(of(f"203.0.113.{number}"), source="127.0.0.4") for number in range(12)]
    assert statuses(await at_one_moment(edge.port, faces)) == {202: 6, 429: 6}


async def test_behind_a_proxy_the_address_that_the_proxy_saw_counts(
    api: Api, behind_proxy: NginxEdge, witness: Witness
) -> None:
    async with client(behind_proxy) as http:
        await http.get("/v1/quota", headers=of("6.6.6.6, 203.0.113.5"))
        await http.get("/v1/quota", headers=of("203.0.113.5, 127.0.0.1"))
        await http.get("/v1/quota", headers=of("2001:db8::5"))
    async with client(behind_proxy, "127.0.0.2") as stranger:
        await stranger.get("/v1/quota", headers=of("203.0.113.5"))
    addresses = [headers["x-forwarded-for"] for _, headers in witness.seen]
    assert addresses == ["203.0.113.5", "203.0.113.5", "2001:db8::5", "127.0.0.2"]


async def test_only_a_proxy_may_say_that_the_visitor_came_over_https(
    api: Api, behind_proxy: NginxEdge, witness: Witness
) -> None:
    secure = {"X-Forwarded-Proto": "https"}
    async with client(behind_proxy) as http, client(behind_proxy, "127.0.0.2") as stranger:
        for one, headers in ((http, {}), (http, secure), (http, {"X-Forwarded-Proto": "evil"}), (stranger, secure)):
            await one.get("/v1/models", headers=headers)
    assert [headers["x-forwarded-proto"] for _, headers in witness.seen] == ["http", "https", "http", "http"]


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("admission", [f"{{profile: public, identity: {{trustedProxies: [{EDGE}]}}}}"])
async def test_a_paid_caller_gets_all_that_the_plan_gives_beside_a_flood_without_keys(
    api: Api, edge: NginxEdge
) -> None:
    paid, free = generation(bearer(PAID_KEY)), generation()
    answers = await at_one_moment(edge.port, [free] * 20 + [paid] * 50)
    assert statuses(answers[20:]) == {202: 50}
    assert statuses(answers[:20])[429] >= 14


async def test_each_key_has_a_limit_of_its_own(api: Api, make_edge: MakeEdge) -> None:
    limits = {"key": {"perSecond": 2, "burst": 50}, "keys": {"perSecond": 100, "burst": 200}}
    edge = make_edge(SLOW_PLANS, limits=limits)
    one, other = generation(bearer(PAID_KEY)), generation(bearer("an-account-key-for-tests"))
    answers = await at_one_moment(edge.port, [one] * 60 + [other] * 40)
    assert statuses(answers[:60])[202] in (51, 52)
    assert statuses(answers[60:]) == {202: 40}


def invented(count: int, source: str) -> list[Sent]:
    """Requests with a new key each, which nobody has issued."""
    return [generation(bearer(secrets.token_hex(200)), source) for _ in range(count)]


async def test_invented_keys_gain_no_more_than_one_key_may_have(api: Api, make_edge: MakeEdge) -> None:
    edge = make_edge(SLOW_PLANS, limits={"keys": {"perSecond": 2, "burst": 60}})
    honest = [generation(bearer(PAID_KEY), "127.0.0.3")] * 40
    answers = await at_one_moment(edge.port, invented(100, "127.0.0.2") + honest)
    assert statuses(answers[:100]) in ({401: 61, 429: 39}, {401: 62, 429: 38})
    assert statuses(answers[100:]) == {202: 40}
    # Those of the same network who have no key are limited by what they do themselves.
    free = await at_one_moment(edge.port, [generation(source="127.0.0.2")] * 8)
    assert statuses(free) == {202: 6, 429: 2}


async def test_as_the_chart_comes_a_network_gets_no_more_with_many_keys_than_with_one(edge: NginxEdge) -> None:
    # Without an API, what is let in is a 503.
    known = generation(bearer(PAID_KEY), "127.0.0.2")
    for requests in ([known] * 160, invented(160, "127.0.0.3")):
        started = time.monotonic()
        let_in = statuses(await at_one_moment(edge.port, requests))[503]
        assert 101 <= let_in <= 102 + 20 * (time.monotonic() - started)


async def test_an_office_whose_people_have_keys_is_served_at_once(api: Api, edge: NginxEdge) -> None:
    people = [generation(bearer(key)) for key in (PAID_KEY, "an-account-key-for-tests")]
    assert statuses(await at_one_moment(edge.port, people * 50)) == {202: 100}


async def test_invented_keys_share_the_budget_of_their_network(api: Api, make_edge: MakeEdge) -> None:
    edge = make_edge(SLOW_PLANS, limits={"everything": {"perSecond": 2, "burst": 60}})
    honest = [generation(bearer(PAID_KEY), "127.0.0.3")] * 40
    answers = await at_one_moment(edge.port, invented(100, "127.0.0.2") + honest)
    assert statuses(answers[:100])[401] in ABOUT_61
    assert statuses(answers[100:]) == {202: 40}


async def test_what_is_no_key_is_limited_like_no_key(edge: NginxEdge) -> None:
    for number, header in enumerate(["Basic dXNlcjpwYXNz", "Bearer", "Bearer two words", "Bearerx", "bearer \t"], 2):
        no_key = generation({"Authorization": header}, f"127.0.0.{number}")
        assert statuses(await at_one_moment(edge.port, [no_key] * 12)) == {503: 6, 429: 6}, header


async def test_long_keys_differ_by_their_end(api: Api, make_edge: MakeEdge) -> None:
    edge = make_edge(limits={"key": {"perSecond": 10, "burst": 50}})
    begin = "x" * 3000
    answers = await at_one_moment(edge.port, [generation(bearer(f"{begin}{end}")) for end in "ab"] * 45)
    assert statuses(answers) == {401: 90}


# --- results ---------------------------------------------------------------------------------------------------------


async def a_result(api: Api) -> str:
    """The path of a finished picture."""
    job = await api.submit()
    await api.worker.finish(await api.worker.claim(), b"\x89PNG" + bytes(range(256)) * 20)
    url: str = (await api.job(job))["result"]["url"]  # type: ignore[index]
    return url


async def test_a_result_comes_once_from_the_api_and_then_from_the_cache(
    api: Api, edge: NginxEdge, witness: Witness
) -> None:
    url = await a_result(api)
    async with client(edge) as http:
        first = await http.get(url)
        assert (first.status_code, first.headers["x-cache"]) == (200, "MISS")
        again = await http.get(url)
        assert (again.headers["x-cache"], again.content) == ("HIT", first.content)
        same = {"etag", "cache-control", "content-type", "content-disposition", "accept-ranges", "date"}
        assert {name: again.headers[name] for name in same} == {name: first.headers[name] for name in same}

        known = await http.get(url, headers={"If-None-Match": first.headers["etag"]})
        assert (known.status_code, known.headers["x-cache"], known.content) == (304, "HIT", b"")
        part = await http.get(url, headers={"Range": "bytes=1-3"})
        assert (part.status_code, part.headers["content-range"], part.content) == (206, "bytes 1-3/5124", b"PNG")
        head = await http.head(url)
        assert (head.status_code, head.headers["content-length"]) == (200, "5124")
    assert witness.paths().count(url) == 1


async def test_a_part_of_a_result_that_is_not_in_the_cache_yet(api: Api, edge: NginxEdge, witness: Witness) -> None:
    url = await a_result(api)
    async with client(edge) as http:
        for state in ("MISS", "HIT"):
            part = await http.get(url, headers={"Range": "bytes=1-3"})
            assert (part.status_code, part.content, part.headers["x-cache"]) == (206, b"PNG", state)
    assert witness.paths().count(url) == 1


async def test_a_crowd_at_one_moment_fetches_a_result_once(api: Api, edge: NginxEdge, witness: Witness) -> None:
    url = await a_result(api)
    answers = await at_one_moment(edge.port, [Sent("GET", url)] * 30)
    assert statuses(answers) == {200: 30}
    assert witness.paths().count(url) == 1


async def test_a_result_whose_life_is_over_is_asked_for_again_and_not_served_any_more(
    api: Api, edge: NginxEdge, witness: Witness, tmp_path: Path
) -> None:
    url = await a_result(api)
    born = time.time() - RESULT_LIFE_MS / 1000 + 3
    os.utime(tmp_path / "store" / url.removeprefix("/v1/"), (born, born))
    async with client(edge) as http:
        first = await http.get(url)
        assert first.headers["cache-control"] in {f"public, max-age={left}, immutable" for left in (1, 2)}
        last = await wait_until(lambda: gone(http, url))
    assert last is not None
    a_problem(last, 404, "result_not_found")
    asked = [headers.get("if-none-match") for path, headers in witness.seen if path == url]
    assert asked == [None, first.headers["etag"]]


async def gone(http: httpx.AsyncClient, url: str) -> httpx.Response | None:
    """The answer, once the result is there no more."""
    answer = await http.get(url)
    return answer if answer.status_code != 200 else None


async def test_a_download_and_a_view_are_kept_apart(api: Api, edge: NginxEdge, witness: Witness) -> None:
    url = await a_result(api)
    async with client(edge) as http:
        for question, kind in (("", "inline"), ("?download=true", "attachment"), ("", "inline")):
            assert (await http.get(url + question)).headers["content-disposition"].startswith(kind)
        for question in ("?download=0&download=1", "?x=1", "?x=2"):
            assert "x-cache" not in (answer := await http.get(url + question)).headers or (
                answer.headers["x-cache"] == "BYPASS"
            )
    assert witness.paths().count(url) == 5


async def test_a_page_of_another_site_gets_its_own_copy(
    settings: Settings, make_edge: MakeEdge, witness: Witness, tmp_path: Path
) -> None:
    (tmp_path / "admission.yaml").write_text("{profile: local, cors: {allowedOrigins: ['https://gallery.example']}}")
    edge = make_edge({"cors": {"allowedOrigins": ["https://gallery.example"]}})
    async with (
        published(settings.redis_url) as (redis, board),
        served_api(settings, witness.around) as (context, http),
    ):
        url = await a_result(await ready(context, http, redis, board))
        async with client(edge) as browser:
            for origin, allowed in (
                ("", None),
                ("HTTPS://GALLERY.EXAMPLE", None),
                ("https://gallery-example", None),
                ("https://gallery.example", "https://gallery.example"),
                ("https://other.example", None),
                ("https://gallery.example", "https://gallery.example"),
            ):
                answer = await browser.get(url, headers={"Origin": origin} if origin else {})
                assert answer.headers.get("access-control-allow-origin") == allowed
    assert witness.paths().count(url) == 2


@pytest.mark.parametrize("credentials", [False, True])
async def test_a_page_of_another_site_may_read_what_the_edge_says_by_itself(
    make_edge: MakeEdge, credentials: bool
) -> None:
    edge = make_edge({"cors": {"allowedOrigins": ["https://gallery.example"], "allowCredentials": credentials}})
    async with client(edge) as browser:
        named = await browser.get("/v1/admin/keys", headers={"Origin": "https://gallery.example"})
        other = await browser.get("/v1/admin/keys", headers={"Origin": "https://other.example"})
    assert a_problem(named, 404, "not_found") == a_problem(other, 404, "not_found")
    assert named.headers["access-control-allow-origin"] == "https://gallery.example"
    assert named.headers["access-control-expose-headers"] == "Retry-After, X-Request-Id"
    assert named.headers.get("access-control-allow-credentials") == ("true" if credentials else None)
    assert not [name for name in other.headers if name.startswith("access-control-")]


async def test_what_is_not_a_result_is_never_kept(api: Api, edge: NginxEdge, witness: Witness) -> None:
    job = await api.submit()
    async with client(edge) as http:
        for _ in range(2):
            assert (await http.get(f"/v1/jobs/{job}")).status_code == 200
            a_problem(await http.get("/v1/results/absent.png"), 404, "result_not_found")
    assert Counter(witness.paths())[f"/v1/jobs/{job}"] == 2
    assert Counter(witness.paths())["/v1/results/absent.png"] == 2


# --- streams ---------------------------------------------------------------------------------------------------------


async def states(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The job's state in each event, as it arrives."""
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))["state"]


async def test_events_arrive_one_by_one(api: Api, edge: NginxEdge) -> None:
    job = await api.submit()
    async with client(edge) as http, http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        told = states(stream.aiter_lines())
        # Each is caused only after the one before has arrived: one that is held back would never come.
        assert await anext(told) == "queued"
        batch = await api.worker.claim()
        assert await anext(told) == "running"
        await api.worker.report(batch, 0.5)
        assert await anext(told) == "running"
        await api.worker.finish(batch)
        assert [state async for state in told] == ["succeeded"]


async def test_a_websocket_passes(api: Api, edge: NginxEdge) -> None:
    job = await api.submit()
    async with connect(f"ws://127.0.0.1:{edge.port}/v1/jobs/{job}/ws") as socket:
        assert json.loads(await socket.recv())["state"] == "queued"
        batch = await api.worker.claim()
        assert json.loads(await socket.recv())["state"] == "running"
        await api.worker.finish(batch)
        assert json.loads(await socket.recv())["state"] == "succeeded"


async def test_a_long_poll_waits_for_its_answer(api: Api, edge: NginxEdge) -> None:
    async with client(edge) as http, api.worker.work():
        answer = await http.post("/v1/jobs", json=JOB, headers={"Prefer": "wait=20"})
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")


async def test_an_edge_that_is_asked_to_end_lets_what_runs_end(api: Api, edge: NginxEdge) -> None:
    async with client(edge) as http:
        job = await api.submit()
        poll = asyncio.create_task(http.get(f"/v1/jobs/{job}", params={"wait": 20}))
        await wait_until(lambda: api.context.pools.all()[0].waiting.watched)
        edge.quit()
        await wait_until(lambda: not listens(edge))
        assert not edge.ended
        await api.worker.finish(await api.worker.claim())
        assert (await poll).json()["state"] == "succeeded"
    await wait_until(lambda: edge.ended)


async def test_an_edge_ends_when_the_api_s_name_has_gone_before_it(edge: NginxEdge) -> None:
    file = edge.configuration_file
    file.write_text(re.sub(r"server 127\.0\.0\.1:\d+;", "server gone.invalid:80;", file.read_text()))
    edge.quit()
    await wait_until(lambda: edge.ended)


def listens(edge: NginxEdge) -> bool:
    """Whether it takes new connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", edge.port)) == 0


# --- bodies, ids, headers, what is hidden ----------------------------------------------------------------------------


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(
    api: Api, edge: NginxEdge, witness: Witness
) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(12 * MIB + 1)}
    (answer,) = await at_one_moment(edge.port, [Sent("POST", "/v1/jobs", headers)])
    assert "12m" in a_problem(answer, 413, "body_too_large")["detail"]
    assert witness.seen == []


async def test_a_body_that_turns_out_too_large_is_refused_too(api: Api, edge: NginxEdge, witness: Witness) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(13):
            yield bytes(MIB)

    async with client(edge) as http:
        a_problem(await http.post("/v1/jobs", content=endless()), 413, "body_too_large")
    assert witness.seen == []


async def test_what_the_api_answers_before_it_has_read_a_large_body_arrives(api: Api, edge: NginxEdge) -> None:
    async with client(edge, headers=bearer("a-key-that-nobody-has")) as http:
        for _ in range(20):
            a_problem(await http.post("/v1/jobs", content=bytes(8 * MIB)), 401, "unauthenticated")


async def test_a_body_within_the_limit_reaches_the_api(api: Api, edge: NginxEdge) -> None:
    async with client(edge) as http:
        answer = await http.post("/v1/jobs", content=b" " * (11 * MIB), headers={"Content-Type": "application/json"})
    a_problem(answer, 400, "malformed_request")


async def test_a_request_id_is_passed_through(api: Api, edge: NginxEdge, witness: Witness) -> None:
    async with client(edge) as http:
        answer = await http.get("/v1/models", headers={"X-Request-Id": "trace:0123-abcd"})
    assert answer.headers["x-request-id"] == "trace:0123-abcd"
    assert witness.seen[-1][1]["x-request-id"] == "trace:0123-abcd"
    assert (await logged(edge, "trace:0123-abcd"))["surface"] == "/v1/models"


async def test_a_request_without_a_usable_id_gets_one(api: Api, edge: NginxEdge, witness: Witness) -> None:
    async with client(edge) as http:
        for offered in (None, "short", "with spaces in it", 'quote"quote"', "x" * 129):
            answer = await http.get("/v1/models", headers={"X-Request-Id": offered} if offered else {})
            made = answer.headers["x-request-id"]
            assert len(made) == 32
            assert witness.seen[-1][1]["x-request-id"] == made
            assert (await logged(edge, made))["status"] == 200


async def test_refusals_of_the_edge_have_an_id_and_are_logged(api: Api, edge: NginxEdge) -> None:
    answers = await at_one_moment(edge.port, [generation()] * 8)
    refused = {answer.headers["x-request-id"] for answer in answers if answer.status == 429}
    assert len(refused) == 2
    for id in refused:
        line = await logged(edge, id)
        assert (line["status"], line["limit"], line["api_status"]) == (429, "REJECTED", "")


async def test_nothing_in_the_logs_tells_who_asked_or_opens_anything(api: Api, edge: NginxEdge) -> None:
    url = await a_result(api)
    job = await api.submit()
    visitor = "127.0.0.77"
    async with client(edge, visitor) as http:
        await http.get(url)
        await http.get(f"/v1/jobs/{job}", headers=bearer(PAID_KEY))
        await http.delete(f"/v1/jobs/{job}")
        await http.post("/v1/jobs?prompt=secret-words", json=JOB)
    await wait_until(lambda: len(edge.requests()) == 4)
    surfaces = [line["surface"] for line in edge.requests()]
    assert surfaces == ["/v1/results", "/v1/jobs", "/v1/jobs", "/v1/jobs"]
    said = json.dumps(edge.requests()) + edge.log
    for secret in (visitor, job, url.rpartition("/")[2], PAID_KEY, "secret-words"):
        assert secret not in said


async def test_no_version_is_told_and_browsers_are_told_how_little_they_may_do(api: Api, edge: NginxEdge) -> None:
    answers = await at_one_moment(edge.port, [generation()] * 8)
    answers += await at_one_moment(edge.port, [Sent("GET", "/v1/models"), Sent("GET", "/metrics")])
    assert {answer.status for answer in answers} == {200, 202, 404, 429}
    for answer in answers:
        assert answer.headers["server"] == "nginx"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@dataclass(frozen=True)
class Raw(Sent):
    """What goes over the wire, as it stands."""

    wire: bytes = b""

    @property
    def text(self) -> bytes:
        return self.wire


LONG = b"x" * 9_000
BROKEN = {
    "a blank in the path": (b"GET no path HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
    "no host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "malformed_request"),
    "a length that is none": (
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        400,
        "malformed_request",
    ),
    "TLS where none is spoken": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_request"),
    "a long path": (b"GET /" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "path_too_long"),
    "a long header": (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + LONG + b"\r\n\r\n", 431, "headers_too_large"),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not_implemented"),
    "an unknown encoding": (
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        501,
        "not_implemented",
    ),
    "a version to come": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 501, "not_implemented"),
}


@pytest.mark.parametrize(("wire", "status", "code"), BROKEN.values(), ids=BROKEN)
async def test_what_nginx_itself_cannot_read_is_a_problem_too(
    edge: NginxEdge, wire: bytes, status: int, code: str
) -> None:
    (answer,) = await at_one_moment(edge.port, [Raw(wire=wire)])
    told = a_problem(answer, status, code)
    assert told["instance"].startswith("/")
    assert not told["instance"].startswith("/.edge")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["server"] == "nginx"
    line = await logged(edge, answer.headers["x-request-id"])
    assert (line["status"], line["api_status"]) == (status, "")
    assert "edge" not in line["surface"]


async def test_a_part_that_a_cached_result_does_not_have_is_a_problem_too(api: Api, edge: NginxEdge) -> None:
    url = await a_result(api)
    async with client(edge) as http:
        await http.get(url)
        a_problem(await http.get(url, headers={"Range": "bytes=999999-"}), 416, "range_not_satisfiable")


async def test_the_edges_own_answers_cannot_be_asked_for(api: Api, edge: NginxEdge) -> None:
    async with client(edge) as http:
        for name in ("malformed", "not-here", "path-too-long", "headers-too-large"):
            a_problem(await http.get(f"/.edge/{name}"), 404, "not_found")


HIDDEN = (
    *("/metrics", "//metrics", "/v1/admin/keys", "/v1//admin/keys", "/v1/%61dmin/keys"),
    *("/v1/x/../admin/keys", "/v1%2fadmin/keys"),
)


async def test_the_insides_are_not_for_the_public(api: Api, edge: NginxEdge, witness: Witness) -> None:
    for path in HIDDEN:
        (answer,) = await at_one_moment(edge.port, [Sent("GET", path, bearer("an-admin-token-for-the-tests"))])
        a_problem(answer, 404, "not_found")
    assert witness.seen == []


async def test_an_api_that_is_away_is_a_problem_with_a_time_to_come_back(edge: NginxEdge) -> None:
    crowd = [Sent("GET", "/v1/models", {"X-Request-Id": f"request-{number}"}) for number in range(60)]
    answers = await at_one_moment(edge.port, crowd)
    for answer in answers:
        a_problem(answer, 503, "unavailable")
    seconds = Counter(int(answer.headers["retry-after"]) for answer in answers)
    assert set(seconds) == {5, 6, 7, 8, 9}
    assert max(seconds.values()) <= len(crowd) / 3
    answer = answers[0]
    line = await logged(edge, answer.headers["x-request-id"])
    assert (line["status"], line["api_status"]) == (503, "502")
