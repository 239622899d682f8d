"""The operator's log: JSON lines that say which pool they are about."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from modelpool_operator import logs
from modelpool_operator.logs import POOL


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, pool = logging.getLogger(), POOL.get()
    handlers = list(root.handlers)
    levels = {name: logging.getLogger(name).level for name in (None, "modelpool", "modelpool_operator")}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    POOL.set(pool)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_the_pool_of_its_file_and_the_slot_that_it_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("default/studio")
    logging.getLogger("modelpool_operator.reconcile").info("load flat", extra={"slot": "studio-primary-0"})
    [line] = lines(capsys)
    assert {name: line[name] for name in ("level", "pool", "slot", "message")} == {
        "level": "info",
        "pool": "default/studio",
        "slot": "studio-primary-0",
        "message": "load flat",
    }


async def test_each_pools_lines_name_it_also_those_of_tasks_that_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    log = logging.getLogger("modelpool_operator.cluster")

    async def work() -> None:
        log.info("at work")

    async def keep(pool: str) -> None:
        POOL.set(pool)
        await asyncio.create_task(work())

    await asyncio.gather(asyncio.create_task(keep("art/one")), asyncio.create_task(keep("art/two")))
    log.info("of none")
    log.info("of another", extra={"pool": "art/three"})
    assert [line.get("pool") for line in lines(capsys)] == ["art/one", "art/two", None, "art/three"]


def test_libraries_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up()
    logging.getLogger("kopf").info("chatter")
    logging.getLogger("kopf").warning("trouble")
    assert [line["message"] for line in lines(capsys)] == ["trouble"]
