"""What the operator remembers: since when, how often in vain, and what it makes of a first look."""

from modelpool.documents import REMOTE, Assignment, Heartbeat, Loading, RunningBatch, SlotFailure
from modelpool.queue.port import ModelDepth
from modelpool_operator.demand.port import Demand
from modelpool_operator.history import LOAD_DEADLINE_SECONDS, History, retry_seconds

LOADS = {"a": 1.0, "b": 1.0}
KNOWN = Demand(source="a test")


def beat(hot: tuple[str, ...] = (), batch: str | None = None, failed: dict[str, int] | None = None) -> Heartbeat:
    return Heartbeat(
        slot="s",
        worker="w",
        pid=1,
        hot=hot,
        batch=RunningBatch(model=batch, size=1, since=0) if batch else None,
        failed={
            name: SlotFailure(code="model_load_failed", message="no such folder", at=at, model=name)
            for name, at in (failed or {}).items()
        },
    )


def told(*hot: str, at: int = 0) -> Assignment:
    return Assignment(epoch=1, version=1, hot=hot, updated_at=at)


def absorb(
    history: History,
    now: int,
    heartbeat: Heartbeat | None = None,
    assignment: Assignment | None = None,
    depth: ModelDepth | None = None,
    demand: Demand = KNOWN,
) -> None:
    history.absorb(
        now,
        {"s": heartbeat} if heartbeat else {},
        {"s": assignment} if assignment else {},
        {"a": depth} if depth else {},
        demand,
        LOADS,
    )


def test_a_model_is_hot_since_it_was_first_seen_so() -> None:
    history = History()
    absorb(history, 100, beat())
    absorb(history, 200, beat(("a",)), told("a", at=150))
    absorb(history, 300, beat(("a", "b")), told("a", "b", at=250))
    assert history.hot_since("s") == {"a": 200, "b": 300}
    absorb(history, 400, beat(("b",)))
    absorb(history, 500, beat(("a", "b")))
    assert history.hot_since("s") == {"a": 500, "b": 300}
    absorb(history, 600)
    assert history.hot_since("s") == {}


def test_after_a_restart_a_model_is_hot_since_it_was_assigned() -> None:
    history = History()
    absorb(history, 900, beat(("a",)), told("a", at=150))
    assert history.hot_since("s") == {"a": 150}


def test_a_model_is_in_use_while_its_jobs_wait_or_run() -> None:
    history = History()
    absorb(history, 100, depth=ModelDepth(queued=1))
    assert history.used_at["a"] == 100
    absorb(history, 200, depth=ModelDepth(running=1))
    assert history.used_at["a"] == 200
    absorb(history, 300, beat(("a",), batch="a"))
    absorb(history, 400, beat(("a",)))
    assert (history.used_at["a"], history.left_at["a"]) == (300, 400)


def test_after_a_restart_a_model_was_last_used_when_it_was_last_asked_for_or_placed() -> None:
    asked, placed, unknown = History(), History(), History()
    absorb(asked, 900, demand=Demand(asked_at={"a": 700}, source="a test"))
    absorb(placed, 900, beat(), told("a", at=800), demand=Demand(asked_at={"a": 700}, source="a test"))
    absorb(unknown, 900, demand=Demand())
    assert [history.used_at["a"] for history in (asked, placed, unknown)] == [700, 800, 900]


def test_the_same_failure_is_counted_once_and_a_new_one_waits_longer() -> None:
    history = History()
    for now in (1_000, 2_000):
        absorb(history, now, beat(failed={"a": 990}), told("a"))
    assert [(f.attempts, f.retry_at) for f in history.failed()] == [(1, 11_000)]
    absorb(history, 20_000, beat(failed={"a": 19_990}), told("a"))
    assert [(f.attempts, f.retry_at) for f in history.failed()] == [(2, 40_000)]
    absorb(history, 30_000, beat(("a",)))
    assert history.failed() == ()


def test_a_model_that_found_no_room_in_host_memory_may_still_be_loaded() -> None:
    history = History()
    absorb(history, 1_000, beat(("b",), failed={"a": 990}), told("b"))
    assert history.failed() == ()


def test_the_wait_doubles_up_to_a_quarter_of_an_hour() -> None:
    assert [retry_seconds(n) for n in (1, 2, 3, 7, 8, 1000)] == [10, 20, 40, 640, 900, 900]


def test_a_load_has_a_deadline_that_a_batch_in_flight_does_not_count_towards() -> None:
    history = History()
    late = int(LOAD_DEADLINE_SECONDS * 1000) + 1
    absorb(history, 0, beat(batch="b"), told("a"))
    absorb(history, late, beat(batch="b"), told("a"))
    absorb(history, 2 * late, beat(), told("a"))
    assert [f.message for f in history.failed()] == ["it was not loaded within 120 s"]
    again = History()
    absorb(again, 0, beat(batch="b"), told("a"))
    absorb(again, late, beat(batch="b"), told("a"))
    absorb(again, 2 * late - 1, beat(), told("a"))
    assert again.failed() == ()


def test_fetching_the_files_does_not_count_towards_the_deadline_of_a_load() -> None:
    history, late = History(), int(LOAD_DEADLINE_SECONDS * 1000) + 1
    fetching = beat().model_copy(update={"loading": Loading(model="a", origin=REMOTE, since=0)})
    absorb(history, 0, fetching, told("a"))
    absorb(history, late, fetching, told("a"))
    absorb(history, 2 * late - 1, beat(), told("a"))
    assert history.failed() == ()


def test_a_corrected_model_may_be_tried_at_once_and_its_old_failure_is_not_counted_again() -> None:
    history = History()
    history.keep(["s"], {"a": "wrong"}, 900)
    absorb(history, 1_000, beat(failed={"a": 990}), told("a"))
    history.keep(["s"], {"a": "wrong"}, 2_000)
    assert [(f.attempts, f.retry_at) for f in history.failed()] == [(1, 11_000)]
    history.keep(["s"], {"a": "right"}, 3_000)
    absorb(history, 3_000, beat(failed={"a": 990}), told("a"))
    assert [(f.attempts, f.retry_at) for f in history.failed()] == [(0, 3_000)]
    absorb(history, 4_000, beat(failed={"a": 3_990}), told("a"))
    assert [(f.attempts, f.retry_at) for f in history.failed()] == [(1, 14_000)]


def test_failures_of_slots_and_models_that_are_gone_hold_nothing_back() -> None:
    history = History()
    absorb(history, 1_000, beat(failed={"a": 990, "b": 990}), told("a", "b"))
    history.keep(["s"], {"a": "same"}, 2_000)
    assert [f.model for f in history.failed()] == ["a"]
    history.keep(["t"], {"a": "same"}, 3_000)
    assert history.failed() == ()
