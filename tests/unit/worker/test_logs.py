from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool_worker import logs


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_is_json_with_pool_slot_and_fields(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "worker.log"
    logs.set_up("default/studio", "studio-primary-0", "info", file)
    logging.getLogger("modelpool_worker.loop").info("batch computed", extra={"size": 4})
    [line] = lines(file)
    assert line["at"]
    assert {name: line[name] for name in ("level", "pool", "slot", "message", "size")} == {
        "level": "info",
        "pool": "default/studio",
        "slot": "studio-primary-0",
        "message": "batch computed",
        "size": 4,
    }


def test_an_exception_stays_on_its_line(tmp_path: Path) -> None:
    file = tmp_path / "worker.log"
    logs.set_up("default/studio", "s", "info", file)
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("modelpool_worker").exception("failed")
    [line] = lines(file)
    assert "broken" in str(line["exception"])


def test_libraries_are_heard_from_warnings_on(tmp_path: Path) -> None:
    file = tmp_path / "worker.log"
    logs.set_up("default/studio", "s", "debug", file)
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble")
    assert [line["message"] for line in lines(file)] == ["trouble"]
