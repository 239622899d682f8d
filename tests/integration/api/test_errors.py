"""Whatever comes in, the answer is a clear 4xx problem, never a 5xx."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest

from modelpool.errors import QueueUnavailable
from modelpool_api.app import create_app
from modelpool_api.context import open_context
from modelpool_api.settings import Settings
from support.running_api import Api, published, ready, running_api


@pytest.fixture
def redis_url(redis_url_any: str) -> str:
    """Nothing here can depend on Redis's version."""
    return redis_url_any


def assert_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("https://")
    assert problem["title"]
    assert problem["detail"] == problem["error"]["message"]
    assert set(problem["error"]) == {"message", "type", "code", "param"}
    return problem


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"model": "shapes", "prompt": "\xff"}', 400),
        (b'{"model": "shapes", "prompt": "\\ud800"}', 400),
        (b'{"model": "shapes", "guidance": NaN}', 422),
        (b'{"model": "shapes", "guidance": 1e999}', 422),
        (b"[" * 100_000, 400),
        (b'{"model":' * 5_000 + b"1" + b"}" * 5_000, 400),
        (b'{"model": "shapes"' + b"".join(b',"a%d":1' % n for n in range(300_000)) + b"}", 400),
        (b'{"model": "shapes"' + b"".join(b',"a%d":1' % n for n in range(100)) + b"}", 422),
        (b'{"model": "shapes", "more": [' + b"[]," * 100_000 + b"1]}", 400),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"{}", 422),
    ],
)
async def test_a_body_of_the_wrong_form_is_refused(api: Api, body: bytes, status: int) -> None:
    answer = await api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, status)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"width": "64"}, "width"),
        ({"width": True}, "width"),
        ({"width": 65}, "width"),
        ({"width": 10**30}, "width"),
        ({"height": -8}, "height"),
        ({"width": 512, "height": 512}, "width"),
        ({"steps": 51}, "steps"),
        ({"guidance": -1}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**53}, "seed"),
        ({"seed": "lucky"}, "seed"),
        ({"prompt": None, "negativePrompt": "x"}, "prompt"),
        ({"prompt": "x" * 4001}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"task": "TextToVideo"}, "task"),
        ({"task": "Nonsense"}, "task"),
        ({"task": "ImageToImage"}, "image"),
        ({"style": "unknown"}, "style"),
        ({"format": "gif"}, "format"),
        ({"format": "mp4"}, "format"),
        ({"frames": 8}, "frames"),
        ({"strength": 0.5}, "strength"),
        ({"image": "x"}, "image"),
        ({"promt": "x"}, "promt"),
        ({"negative_prompt": "x"}, "negative_prompt"),
    ],
)
async def test_a_field_that_cannot_be_accepted_is_named(api: Api, fields: dict[str, object], param: str) -> None:
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "a cat", **fields})
    problem = assert_problem(answer, 422)
    assert problem["param"] == problem["error"]["param"] == param
    assert (await api.queue.depths()).get("shapes") is None


async def test_several_mistakes_are_told_together(api: Api) -> None:
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "width": -1, "steps": 0, "promt": "x"})
    problem = assert_problem(answer, 422)
    assert {found["param"] for found in problem["errors"]} == {"width", "steps", "promt"}
    assert "did you mean 'prompt'?" in str(problem["errors"])


@pytest.mark.parametrize(
    "prompt", ["\x00", "🦊" * 2000, "\u202e rtl", "'; DROP TABLE jobs; --", "{prompt}", "%s %d \\n"]
)
async def test_any_words_are_only_words(api: Api, prompt: str) -> None:
    job = await api.submit(prompt=prompt)
    assert (await api.queue.get(job)).request.prompt == prompt.strip()


async def test_an_unknown_model_is_a_404(api: Api) -> None:
    problem = assert_problem(await api.http.post("/v1/jobs", json={"model": "nope", "prompt": "x"}), 404)
    assert problem["error"]["code"] == "model_not_found"


async def test_other_content_types_are_refused(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        answer = await api.http.post("/v1/jobs", content=b"model=shapes", headers={"Content-Type": kind})
        assert_problem(answer, 400)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"not a form"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\r\n--x--\r\n',
        ),
    ],
)
async def test_a_broken_form_is_refused(api: Api, kind: str, body: bytes) -> None:
    answer = await api.http.post("/v1/jobs", content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "charset", ["punycode", "unicode_escape", "utf-16", "nonsense", '"idna"', "utf-7; charset=utf-7"]
)
async def test_a_form_in_another_charset_is_refused_before_it_is_looked_at(api: Api, charset: str) -> None:
    # As punycode this would keep the process from everybody else for many seconds.
    form = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = b"".join(form % (b"a" * number, b"a" * 60_000) for number in range(1, 40)) + b"--x--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = await api.http.post("/v1/jobs", content=body, headers=headers)
    assert "UTF-8" in assert_problem(answer, 400)["detail"]


async def test_a_form_that_says_that_it_is_in_utf_8_is_read(api: Api) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = form % (b"model", b"shapes") + form % (b"prompt", "grün".encode()) + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x; charset=UTF-8"}
    answer = await api.http.post("/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 202
    assert (await api.queue.get(answer.json()["id"])).request.prompt == "grün"


async def test_two_files_or_another_files_field_are_refused(api: Api) -> None:
    fields = {"model": "clips"}
    two = [("image", ("a.png", b"1")), ("image", ("b.png", b"2"))]
    assert_problem(await api.http.post("/v1/jobs", data=fields, files=two), 400)
    assert_problem(await api.http.post("/v1/jobs", data=fields, files={"file": ("a.png", b"1")}), 422)


async def test_routes_and_methods_that_do_not_exist(api: Api) -> None:
    assert_problem(await api.http.get("/v1/nothing"), 404)
    answer = await api.http.put("/v1/jobs")
    assert_problem(answer, 405)
    assert "POST" in answer.headers["allow"]
    assert_problem(await api.http.get("/v1/jobs/x", params={"wait": "soon"}), 422)


def mounted_at(root: str) -> httpx.AsyncClient:
    """The application as a server with this root path calls it."""
    transport = httpx.ASGITransport(create_app(open_context(Settings())), root_path=root)
    return httpx.AsyncClient(transport=transport, base_url="http://api")


@pytest.mark.parametrize("root", ["", "/pool"])
async def test_a_slash_too_many_is_named_and_sends_nobody_elsewhere_with_prompt_and_key(root: str) -> None:
    headers = {"Host": "elsewhere.example", "X-Forwarded-Proto": "https"}
    async with mounted_at(root) as http:
        answer = await http.post(f"{root}/v1/jobs/", json={"model": "shapes"}, headers=headers)
        assert assert_problem(answer, 404)["detail"].endswith(f"leave the slash at the end away: {root}/v1/jobs")
        assert "location" not in answer.headers
        unknown = await http.get(f"{root}/v1/nothing/", headers=headers)
        assert "slash" not in assert_problem(unknown, 404)["detail"]


async def test_the_root_path_without_its_slash_leads_to_the_page_on_the_same_host_and_scheme() -> None:
    async with mounted_at("/pool") as http:
        answer = await http.get("/pool", headers={"Host": "elsewhere.example"})
        assert (answer.status_code, answer.headers["location"]) == (307, "/pool/")
        assert "modelpool" in (await http.get("/pool/")).text
        assert_problem(await http.post("/pool"), 404)


async def test_a_body_that_is_too_large_is_refused_announced_or_not(settings: Settings) -> None:
    small = replace(settings, max_body_bytes=1_000)

    async def chunks(start: bytes = b"") -> Any:
        yield start
        for _ in range(20):
            yield b" " * 100

    async with published(small.redis_url) as (redis, board), running_api(small) as (context, http):
        await ready(context, http, redis, board)
        headers = {"Content-Type": "application/json"}
        announced = await http.post("/v1/jobs", content=b" " * 2_000, headers=headers)
        assert assert_problem(announced, 413)["error"]["code"] == "body_too_large"
        assert_problem(await http.post("/v1/jobs", content=chunks(), headers=headers), 413)
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        start = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
        assert_problem(await http.post("/v1/jobs", content=chunks(start), headers=form), 413)
        assert_problem(await http.post("/v1/nothing", content=b" " * 2_000), 413)


async def test_a_failure_of_ours_tells_nothing_of_our_insides(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.context.pools, "of_job", broken)
    problem = assert_problem(await api.http.get("/v1/jobs/x"), 500)
    assert "secret" not in json.dumps(problem)


POST = {"model": "shapes", "prompt": "a red circle"}


@pytest.mark.parametrize("reads", [True, False], ids=["poll", "new job"])
async def test_an_outage_says_when_to_come_back(api: Api, monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    def away(*_: object, **__: object) -> None:
        raise QueueUnavailable("Redis cannot be reached", retry_after=1.2)

    monkeypatch.setattr(api.context.pools, "of_job", away)
    monkeypatch.setattr(api.context.ledger, "reserve", away)
    seconds: Counter[int] = Counter()
    for _ in range(200):
        answer = await (api.http.get("/v1/jobs/x") if reads else api.http.post("/v1/jobs", json=POST))
        assert_problem(answer, 503)
        seconds[int(answer.headers["retry-after"])] += 1
    # Spread, so that those whom it has sent away do not come back together.
    assert set(seconds) <= set(range(2, 11))
    assert len(seconds) > 4
    assert max(seconds.values()) < 100


async def test_prompts_and_keys_stay_out_of_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="modelpool_api"), caplog.at_level(logging.DEBUG, logger="modelpool"):
        await api.submit(prompt="confidential words")
        await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "confidential words", "width": 1})
        await api.http.post("/v1/jobs", json={}, headers={"Authorization": "Bearer confidential-key"})
    assert "confidential" not in caplog.text
