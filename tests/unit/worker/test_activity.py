from __future__ import annotations

from collections import defaultdict

import pytest

from modelpool_worker.activity import Activity


class Recorder:
    def __init__(self) -> None:
        self.now = 0.0
        self.seconds: dict[str, float] = defaultdict(float)
        self.activity = Activity(lambda: self.now, self.count)

    def count(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_time_without_activity_is_idle(recorder: Recorder) -> None:
    recorder.now = 3
    recorder.activity.settle()
    assert recorder.seconds == {"idle": 3}


def test_every_moment_counts_once(recorder: Recorder) -> None:
    recorder.activity.set("load", on=True)
    recorder.now = 2
    recorder.activity.set("generate", on=True)
    recorder.now = 5
    recorder.activity.set("load", on=False)
    recorder.now = 6
    recorder.activity.set("generate", on=False)
    recorder.now = 10
    recorder.activity.settle()
    assert recorder.seconds == {"idle": 4, "load": 2, "generate": 4}
