"""The client against a server in the test."""

import json
from collections.abc import Callable, Iterator

import altcha
import httpx
import pytest

from modelpool_cli import api as module
from modelpool_cli.api import Api
from modelpool_local.exits import CommandFailed, Exit

URL = "http://pool.test"
QUEUED = {"id": "x-1", "state": "queued"}
DONE = {"id": "x-1", "state": "succeeded"}
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0)


def client(handler: Handler, key: str | None = None) -> Api:
    return Api(URL, key, transport=httpx.MockTransport(handler))


def events(*jobs: dict[str, str]) -> httpx.Response:
    text = "retry: 1000\n\n" + "".join(f"event: job\nid: 1\ndata: {json.dumps(job)}\n\n" for job in jobs)
    return httpx.Response(200, text=text)


def in_turn(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    seen: list[httpx.Request] = []
    left: Iterator[httpx.Response | Exception] = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle, seen


@pytest.mark.parametrize("key", ["ü", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(CommandFailed, match="the API key has characters") as caught:
        Api(URL, key)
    assert caught.value.code is Exit.USAGE


def test_what_was_typed_as_a_jobs_id_leads_nowhere_else() -> None:
    handle, seen = in_turn(*(httpx.Response(200, json=DONE) for _ in range(2)))
    with client(handle) as api:
        api.cancel("../models")
        api.job("x?wait=1#y")
    assert [request.url.raw_path for request in seen] == [b"/v1/jobs/..%2Fmodels", b"/v1/jobs/x%3Fwait%3D1%23y"]


def test_the_key_is_sent_as_a_bearer_token() -> None:
    handle, seen = in_turn(httpx.Response(200, json={"data": []}))
    with client(handle, "secret") as api:
        assert api.models() == []
    assert seen[0].headers["Authorization"] == "Bearer secret"


def test_a_request_whose_answer_was_lost_is_sent_again_with_the_same_idempotency_key() -> None:
    healthy = httpx.Response(200)
    handle, seen = in_turn(
        httpx.ReadError("reset"), httpx.ConnectError("refused"), healthy, httpx.Response(202, json=QUEUED)
    )
    with client(handle) as api:
        assert api.submit({"model": "m"}) == QUEUED
    keys = [request.headers["Idempotency-Key"] for request in seen if request.method == "POST"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_when_nobody_answers_it_says_what_to_do() -> None:
    handle, _ = in_turn(httpx.ConnectError("refused"))
    with (
        pytest.raises(CommandFailed, match=r"no modelpool answers at http://pool\.test") as caught,
        client(handle) as api,
    ):
        api.submit({"model": "m"})
    assert caught.value.code is Exit.UNREACHABLE


def test_a_refusal_is_told_in_the_apis_own_words() -> None:
    handle, _ = in_turn(httpx.Response(422, json={"detail": "steps must be at most 50", "title": "Invalid request"}))
    with pytest.raises(CommandFailed, match=r"^steps must be at most 50$") as caught, client(handle) as api:
        api.submit({"model": "m"})
    assert caught.value.code is Exit.REFUSED


def test_an_answer_that_is_no_problem_document_is_told_by_its_status() -> None:
    handle, _ = in_turn(httpx.Response(502, text="<html>", headers={"Retry-After": "5"}))
    with pytest.raises(CommandFailed, match=r"502 Bad Gateway \(try again in 5 s\)"), client(handle) as api:
        api.models()


def test_following_yields_every_change_until_the_end() -> None:
    running = {"id": "x-1", "state": "running"}
    handle, _ = in_turn(events(running, DONE))
    with client(handle) as api:
        assert [job["state"] for job in api.follow(QUEUED)] == ["queued", "running", "succeeded"]


def test_following_survives_a_restart_of_the_api_and_of_redis() -> None:
    handle, seen = in_turn(
        httpx.ReadError("reset"),
        httpx.ConnectError("refused"),
        httpx.Response(503, json={"detail": "Redis cannot be reached"}),
        httpx.Response(503, json={"detail": "Redis cannot be reached"}),
        events(DONE),
    )
    with client(handle) as api:
        assert api.ended(QUEUED) == DONE
    assert all(request.method == "GET" for request in seen)


def test_a_stream_that_ends_early_is_replaced_by_a_long_poll() -> None:
    handle, seen = in_turn(events({"id": "x-1", "state": "running"}), httpx.Response(200, json=DONE))
    with client(handle) as api:
        assert api.ended(QUEUED) == DONE
    assert seen[1].url.params["wait"] == "20"


def test_following_gives_up_when_the_api_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GIVE_UP_SECONDS", -1)
    handle, _ = in_turn(httpx.ConnectError("refused"))
    with pytest.raises(CommandFailed, match="no modelpool answers"), client(handle) as api:
        api.ended(QUEUED)


def test_a_download_survives_a_restart_of_the_api_too() -> None:
    handle, seen = in_turn(
        httpx.ConnectError("refused"),
        httpx.Response(503, json={"detail": "starting"}),
        httpx.Response(200, content=b"x"),
    )
    with client(handle) as api:
        assert api.download("/v1/jobs/x-1/result") == b"x"
    assert len(seen) == 3


def test_a_download_gives_up_when_the_api_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GIVE_UP_SECONDS", -1)
    handle, _ = in_turn(httpx.ConnectError("refused"))
    with pytest.raises(CommandFailed, match="no modelpool answers"), client(handle) as api:
        api.download("/v1/jobs/x-1/result")


def test_a_job_that_has_vanished_ends_the_following() -> None:
    gone = httpx.Response(404, json={"detail": "no such job"})
    handle, _ = in_turn(gone, gone)
    with pytest.raises(CommandFailed, match="no such job"), client(handle) as api:
        api.ended(QUEUED)


def challenge(**changes: object) -> httpx.Response:
    """A refusal with a challenge."""
    given = altcha.create_challenge("PBKDF2/SHA-256", 1, hmac_secret="secret").to_dict()
    given["parameters"] |= changes
    return httpx.Response(429, json={"detail": "You are very quick today.", "challenge": given})


def test_a_challenge_is_solved_and_the_same_job_sent_again() -> None:
    handle, seen = in_turn(challenge(), httpx.Response(202, json=QUEUED))
    with client(handle) as api:
        assert api.submit({"model": "x"}) == QUEUED
    first, second = seen
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert altcha.verify_solution(second.headers["Modelpool-Solution"], "secret").verified


@pytest.mark.parametrize(
    "answers",
    [
        [challenge(), challenge()],
        [challenge(cost=10**9)],
        [challenge(cost="much")],
        [challenge(nonce=7)],
        [httpx.Response(429, json={"detail": "You are very quick today.", "challenge": []})],
        [httpx.Response(429, json={"detail": "You are very quick today."})],
    ],
    ids=["refused again", "too dear", "no cost", "no nonce", "no challenge", "none at all"],
)
def test_what_cannot_be_solved_is_the_refusal_that_it_was(answers: list[httpx.Response]) -> None:
    handle, seen = in_turn(*answers)
    with client(handle) as api, pytest.raises(CommandFailed, match="very quick today") as caught:
        api.submit({"model": "x"})
    assert caught.value.code is Exit.REFUSED
    assert len(seen) == len(answers)


@pytest.mark.parametrize("url", ["localhost:8080", "http://a..b", "ftp://there", "http://"])
def test_what_is_no_address_of_a_server_is_one_line(url: str) -> None:
    with pytest.raises(CommandFailed, match="write one such as http://"):
        Api(url)
