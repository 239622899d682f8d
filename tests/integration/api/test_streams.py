"""Following a job over a real server: server-sent events and WebSocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from modelpool_api.waiting import Waiting
from support import wait_until
from support.running_api import Api


@dataclass
class Event:
    kind: str
    id: str
    job: dict[str, object]


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Server-sent events from the lines of a response, as a browser reads them."""
    kind = id = data = ""
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            id = value
        elif name == "data":
            data = value
        elif line == "" and data:
            yield Event(kind, id, json.loads(data))
            kind = data = ""


def waiting(api: Api) -> Waiting:
    return api.context.pools.all()[0].waiting


async def test_a_job_is_told_from_the_queue_to_its_end(served: Api) -> None:
    job = await served.submit()
    async with served.http.stream("GET", f"/v1/jobs/{job}/events", timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        events = read_events(stream.aiter_lines())
        first = await anext(events)
        assert (first.kind, first.id, first.job["state"], first.job["position"]) == ("job", "1", "queued", 0)

        batch = await served.worker.claim()
        second = await anext(events)
        assert (second.job["state"], int(second.id) > int(first.id)) == ("running", True)

        await served.worker.report(batch, 0.25, preview="data:image/png;base64,AAAA")
        third = await anext(events)
        assert (third.kind, third.job["progress"]) == ("progress", 0.25)
        assert third.job["preview"] == "data:image/png;base64,AAAA"

        await served.worker.finish(batch)
        last = await anext(events)
        assert (last.kind, last.job["state"]) == ("job", "succeeded")
        assert "preview" not in last.job
        assert [event async for event in events] == []
    assert waiting(served).watched == 0


async def test_positions_move_while_others_are_started(served: Api) -> None:
    await served.submit(width=128)
    job = await served.submit()
    async with served.http.stream("GET", f"/v1/jobs/{job}/events", timeout=20) as stream:
        events = read_events(stream.aiter_lines())
        assert (await anext(events)).job["position"] == 1
        await served.worker.claim()
        assert (await anext(events)).job["position"] == 0


async def test_a_follower_hears_of_its_leaders_progress(served: Api) -> None:
    await served.submit(seed=7)
    follower = await served.submit(seed=7)
    async with served.http.stream("GET", f"/v1/jobs/{follower}/events", timeout=20) as stream:
        events = read_events(stream.aiter_lines())
        assert (await anext(events)).job["state"] == "following"
        batch = await served.worker.claim()
        await served.worker.report(batch, 0.5)
        assert (await until(events, "progress", "following")).job["progress"] == 0.5
        await served.worker.finish(batch)
        await until(events, "job", "succeeded")


async def until(events: AsyncIterator[Event], kind: str, state: str) -> Event:
    """The first event of this kind and state."""
    async for event in events:
        if (event.kind, event.job["state"]) == (kind, state):
            return event
    raise AssertionError(f"the stream ended without {kind} of {state}")


async def test_a_finished_job_is_told_once(served: Api) -> None:
    job = await served.submit()
    await served.worker.finish(await served.worker.claim())
    async with served.http.stream("GET", f"/v1/jobs/{job}/events", timeout=20) as stream:
        events = [event async for event in read_events(stream.aiter_lines())]
    assert [event.job["state"] for event in events] == ["succeeded"]

    again = await served.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": events[0].id})
    assert again.status_code == 204


async def test_one_who_comes_back_hears_only_what_is_new(served: Api) -> None:
    job = await served.submit()
    headers = {"Last-Event-ID": "1"}
    async with served.http.stream("GET", f"/v1/jobs/{job}/events", headers=headers, timeout=20) as stream:
        await wait_until(lambda: waiting(served).watched)
        await served.worker.claim()
        assert (await anext(read_events(stream.aiter_lines()))).job["state"] == "running"


async def test_one_who_leaves_is_forgotten(served: Api) -> None:
    job = await served.submit()
    async with served.http.stream("GET", f"/v1/jobs/{job}/events", timeout=20) as stream:
        await anext(stream.aiter_lines())
        assert waiting(served).watched == 1
    await wait_until(lambda: waiting(served).watched == 0)

    async with connect(_socket_url(served, job)) as socket:
        await socket.recv()
        assert waiting(served).watched == 1
    await wait_until(lambda: waiting(served).watched == 0)


async def test_a_socket_tells_the_same(served: Api) -> None:
    job = await served.submit()
    async with connect(_socket_url(served, job)) as socket:
        assert json.loads(await socket.recv())["state"] == "queued"
        batch = await served.worker.claim()
        assert json.loads(await socket.recv())["state"] == "running"
        await socket.send("this is ignored")
        await served.worker.report(batch, 0.5)
        assert json.loads(await socket.recv())["progress"] == 0.5
        await served.worker.finish(batch)
        last = json.loads(await socket.recv())
        assert last == (await served.http.get(f"/v1/jobs/{job}")).json()
        await socket.wait_closed()
        assert socket.close_code == 1000


async def test_a_socket_to_an_unknown_job_is_refused(served: Api) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(_socket_url(served, "nope")):
            pass
    assert refusal.value.response.status_code == 404
    assert refusal.value.response.headers["content-type"] == "application/problem+json"


async def test_those_who_wait_are_sent_home_when_the_process_ends(served: Api) -> None:
    job = await served.submit()
    async with (
        connect(_socket_url(served, job)) as socket,
        served.http.stream("GET", f"/v1/jobs/{job}/events", timeout=20) as stream,
    ):
        events = read_events(stream.aiter_lines())
        await anext(events)
        await socket.recv()
        served.context.closing.set()
        assert [event async for event in events] == []
        await socket.wait_closed()
        assert socket.close_code == 1001
    assert (await served.http.get("/readyz")).status_code == 503


def _socket_url(api: Api, job: str) -> str:
    return str(api.http.base_url.join(f"/v1/jobs/{job}/ws")).replace("http", "ws", 1)
