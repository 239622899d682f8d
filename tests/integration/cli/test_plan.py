"""`modelpool plan` on a real Redis: it foresees what the operator does, and leaves no trace."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import pytest_asyncio
import yaml
from click.testing import CliRunner, Result
from redis import Redis

from modelpool.documents import Heartbeat
from modelpool.queue.connection import connect
from modelpool_cli.main import modelpool
from support import wait_until
from support.operator_stage import POOL_FILE, Stage

HELD = {
    "studio-primary-0": ("flat",),
    "studio-primary-1": ("flat",),
    "studio-secondary-0": ("outline",),
    "studio-secondary-1": ("neon",),
    "studio-video-0": (),
}


class Place:
    """A pool whose workers have reported and stand still, and the command line in front of it."""

    def __init__(self, url: str, stage: Stage) -> None:
        self.url = url
        self.stage = stage

    async def hold(self, held: dict[str, tuple[str, ...]]) -> None:
        """Workers report these models, and were told to hold them."""
        epoch = await self.stage.board.take_epoch()
        for slot, hot in held.items():
            await self.stage.board.assign(slot, epoch, hot)
            await self.report(slot, hot)

    async def report(self, slot: str, hot: tuple[str, ...] = ()) -> None:
        """A heartbeat that does not die: a busy machine must not change what is seen."""
        await self.stage.board.beat(Heartbeat(slot=slot, worker=slot, pid=1, hot=hot))
        await self.stage.client.persist(self.stage.board.keys.heartbeat(slot))

    async def plan(self, *more: str) -> Result:
        return await self.run("-f", str(self.stage.file), "--redis-url", self.url, *more)

    async def run(self, *arguments: str) -> Result:
        runner = CliRunner(env={"COLUMNS": "160"})
        result = await asyncio.to_thread(runner.invoke, modelpool, ["plan", *arguments])
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    async def json(self) -> Any:
        return json.loads((await self.plan("--json")).stdout)


@pytest_asyncio.fixture
async def place(redis_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Once on each Redis."""
    file = tmp_path / "pool.yaml"
    file.write_text(POOL_FILE)
    async with await connect(redis_url) as client:
        yield Place(redis_url, Stage(file, client))


def keyspace(url: str) -> dict[bytes, tuple[bytes | None, bool]]:
    """Every key of every database with its bytes, and whether it lives for ever."""
    with Redis.from_url(url) as client:
        assert set(client.info("keyspace")) <= {"db0"}
        return {key: (client.dump(key), client.ttl(key) == -1) for key in client.scan_iter()}


async def test_it_leaves_every_byte_of_redis_as_it_was_though_there_is_much_to_do(place: Place) -> None:
    await place.hold(HELD)
    await place.stage.ask("motion")
    await place.stage.ask("mosaic")
    before = keyspace(place.url)
    assert place.stage.board.keys.epoch.encode() in before
    shown = await place.json()
    table = (await place.plan()).stdout
    assert keyspace(place.url) == before
    assert (shown["changes"], sorted(shown["misses"])) == (True, ["mosaic", "motion"])
    assert "Demand miss: 1 job waits for mosaic, hot nowhere." in table
    assert "load motion: 1 job waits for motion, which was hot nowhere" in table


async def test_an_empty_redis_stays_empty_and_the_plan_is_a_cold_start(place: Place) -> None:
    shown = await place.json()
    assert shown["coldStart"]
    assert "That Redis does not know pool default/studio" in shown["notes"][0]
    assert keyspace(place.url) == {}


@pytest.mark.parametrize("asked", [(), ("motion",), ("mosaic", "mosaic", "woodcut")])
async def test_the_operator_that_comes_next_does_what_was_foreseen(place: Place, asked: tuple[str, ...]) -> None:
    await place.hold(HELD)
    for model in asked:
        await place.stage.ask(model)
    shown = await place.json()
    foreseen = {slot["slot"]: (tuple(slot["wouldBeHot"]), tuple(slot["wouldBeWarm"])) for slot in shown["slots"]}
    loaded = {move["model"] for slot in shown["slots"] for move in slot["moves"] if move["action"] == "load"}
    assert loaded == set(asked)
    async with place.stage.operator():

        async def told() -> bool:
            status = await place.stage.board.status()
            return status is not None

        await wait_until(told)
        found = await place.stage.board.assignments(place.stage.slots())
    assert {slot: (assignment.hot, assignment.warm) for slot, assignment in found.items()} == foreseen


async def test_beside_an_operator_at_rest_nothing_would_change(place: Place) -> None:
    stage = place.stage
    async with stage.operator(), stage.all_workers():
        await wait_until(stage.is_condition("Ready", "True", "Serving"))
        await wait_until(stage.is_condition("Progressing", "False", "AtRest"))
        result = await place.plan()
    assert "default/studio: nothing would change." in result.stdout
    assert "No operator speaks for this pool" not in result.stdout


async def test_without_an_operator_it_says_that_nothing_will_happen(place: Place) -> None:
    await place.hold(HELD)
    assert "No operator speaks for this pool" in (await place.plan()).stdout


async def test_a_file_with_fewer_slots_shows_who_would_go(place: Place) -> None:
    stage = place.stage
    async with stage.operator():
        await wait_until(stage.board.catalog)
    await place.report("studio-primary-0", ("flat",))
    stage.file.write_text(POOL_FILE.replace("policy: Always\n    slots: 2", "policy: Always\n    slots: 1"))
    shown = await place.json()
    assert (shown["leaving"], shown["changes"]) == (["studio-primary-1"], True)
    assert "studio-primary-1 would go: its worker finishes its batch and ends." in (await place.plan()).stdout
    assert "studio-primary-1" not in [slot["slot"] for slot in shown["slots"]]


async def test_a_load_that_failed_lately_is_told_because_only_the_operator_knows_when_it_tries_again(
    place: Place,
) -> None:
    stage = place.stage
    async with stage.operator(), stage.all_workers(broken=frozenset({"motion"})):
        await wait_until(stage.is_condition("Ready", "True", "Serving"))
        await stage.ask("motion")

        async def failed() -> bool:
            status = await stage.board.status()
            return status is not None and any(model.last_failure for model in status.models)

        await wait_until(failed)
        notes = (await place.json())["notes"]
    assert [note for note in notes if note.startswith("motion could not be loaded lately (no such folder)")]


@contextmanager
def api_server(folder: Path, *pools: Any) -> Iterator[Path]:
    """An API server that knows these ModelPools and nothing else, and the kubeconfig to it with a context `lab`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            known = self.path.partition("?")[0] == "/apis/modelpool.dev/v1alpha1/modelpools"
            body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": pools} if known else {}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    file = folder / "kubeconfig"
    file.write_text(
        dedent(f"""\
            apiVersion: v1
            kind: Config
            clusters: [{{name: lab, cluster: {{server: "http://127.0.0.1:{server.server_port}"}}}}]
            users: [{{name: lab, user: {{token: t}}}}]
            contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
            """)
    )
    try:
        yield file
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_the_pool_of_a_cluster_needs_no_file_and_is_not_looked_for_in_the_redis_of_this_machine(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = yaml.safe_load(POOL_FILE)
    document["metadata"] |= {"namespace": "default", "uid": "u", "generation": 3}
    await place.hold(HELD)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".modelpool").mkdir()
    (tmp_path / ".modelpool" / "up.json").write_text(json.dumps({"redisUrl": place.url}))
    with api_server(tmp_path, document) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        with_redis = json.loads((await place.run("--context", "lab", "--redis-url", place.url, "--json")).stdout)
        without = json.loads((await place.run("--context", "lab", "--json")).stdout)
    assert with_redis["slots"] == (await place.json())["slots"]
    assert (with_redis["pool"], with_redis["coldStart"]) == ("default/studio", False)
    assert (without["pool"], without["coldStart"]) == ("default/studio", True)
    assert "kubectl port-forward" in without["notes"][0]
