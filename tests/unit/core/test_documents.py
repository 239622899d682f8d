"""What documents tell when read together."""

from __future__ import annotations

from modelpool.documents import Heartbeat, newest_engine


def beat(slot: str, engine: str, started_at: int) -> Heartbeat:
    return Heartbeat(slot=slot, worker=f"{slot}-1", pid=1, engine=engine, started_at=started_at)


def test_results_are_going_to_come_from_the_engine_of_the_worker_that_started_last() -> None:
    assert newest_engine([beat("a", "old", 100), beat("b", "new", 300), beat("c", "old", 200)]) == "new"


def test_all_who_ask_agree_on_workers_that_started_together() -> None:
    beats = [beat("a", "one", 100), beat("b", "other", 100)]
    assert newest_engine(beats) == newest_engine(reversed(beats))


def test_without_workers_there_is_no_engine() -> None:
    assert newest_engine([]) == ""
