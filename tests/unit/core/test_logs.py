"""A log line is one JSON object with what is always said and what this line adds."""

import json
import logging
import sys

from modelpool.logs import JsonLines


def line(**extra: object) -> dict[str, object]:
    record = logging.LogRecord("modelpool.x", logging.WARNING, "x.py", 1, "load %s", ("flat",), None)
    vars(record).update(extra)
    read: dict[str, object] = json.loads(JsonLines(pool="default/studio", slot="s-0").format(record))
    return read


def test_fixed_fields_and_extras_stand_beside_level_and_message() -> None:
    said = line(model="flat", score=None)
    assert said["pool"] == "default/studio"
    assert said["slot"] == "s-0"
    assert (said["level"], said["logger"], said["message"]) == ("warning", "modelpool.x", "load flat")
    assert (said["model"], said["score"]) == ("flat", None)
    assert "args" not in said


def test_an_exception_stands_in_the_same_line() -> None:
    try:
        raise ValueError("bad luck")
    except ValueError:
        said = line(exc_info=sys.exc_info())
    assert "ValueError: bad luck" in str(said["exception"])
