"""Which workers hang, at times of the test's own."""

from modelpool.documents import Heartbeat, RunningBatch
from modelpool.slots import ObservedSlot, SlotPhase
from modelpool_local.vigil import Watched, hangs, watch


def slots(pid: int | None = 7, phase: SlotPhase = SlotPhase.READY) -> dict[str, ObservedSlot]:
    return {"a": ObservedSlot(slot="a", tier="primary", phase=phase, pid=pid)}


def beat(pid: int = 7, *, progress_at: int = 0, since: int | None = None) -> dict[str, Heartbeat]:
    batch = None if since is None else RunningBatch(model="m", size=1, since=since)
    return {"a": Heartbeat(slot="a", worker="a-1", pid=pid, progress_at=progress_at, batch=batch)}


def after(*looks: tuple[float, dict[str, Heartbeat]]) -> Watched:
    watched: dict[str, Watched] = {}
    for now, heartbeats in looks:
        watched = watch(watched, slots(), heartbeats, now)
    return watched["a"]


def test_a_worker_that_is_heard_and_idle_never_hangs() -> None:
    assert hangs(after((0, beat()), (1000, beat())), 1000) is None


def test_a_worker_that_never_reports_hangs_two_minutes_after_its_start() -> None:
    worker = after((0, {}), (60, {}))
    assert hangs(worker, 120) is None
    assert hangs(worker, 121) == "it gave no sign of life for 121 s"


def test_a_worker_that_falls_silent_hangs_two_minutes_after_it_was_last_heard() -> None:
    worker = after((0, beat()), (100, beat()), (200, {}))
    assert hangs(worker, 220) is None
    assert hangs(worker, 221) == "it gave no sign of life for 121 s"


def test_a_batch_without_a_step_for_two_minutes_hangs() -> None:
    worker = after((0, beat()), (10, beat(since=5, progress_at=5)), (131, beat(since=5, progress_at=5)))
    assert hangs(worker, 131) == "its batch made no step for 121 s"


def test_a_batch_that_gets_on_and_a_new_batch_do_not_hang() -> None:
    stepping = after((0, beat(since=5, progress_at=5)), (130, beat(since=5, progress_at=6)))
    assert hangs(stepping, 130) is None
    another = after((0, beat(since=5, progress_at=5)), (130, beat(since=6, progress_at=5)))
    assert hangs(another, 130) is None


def test_the_heartbeat_of_the_process_before_counts_for_nothing() -> None:
    assert hangs(after((0, beat(pid=6)), (121, beat(pid=6))), 121) is not None


def test_a_restarted_worker_has_its_time_anew() -> None:
    watched = watch({}, slots(pid=7), {}, 0)
    watched = watch(watched, slots(pid=8), {}, 119)
    assert hangs(watched["a"], 200) is None


def test_who_is_starting_or_draining_is_not_watched() -> None:
    assert watch({}, slots(pid=None, phase=SlotPhase.STARTING), {}, 0) == {}
    assert watch({}, slots(phase=SlotPhase.DRAINING), {}, 0) == {}
