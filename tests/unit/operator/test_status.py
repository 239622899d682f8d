"""Observation → snapshot → status: what people are told is what was seen."""

from dataclasses import replace

import pytest

from modelpool.documents import (
    REMOTE,
    Assignment,
    Heartbeat,
    Loading,
    MeasuredModel,
    RunningBatch,
    SlotFailure,
    Spent,
    Stat,
)
from modelpool.jobs import Lane
from modelpool.queue.port import ModelDepth
from modelpool.resources.load import parse_pool
from modelpool.resources.status import GpuStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool.slots import ObservedSlot, RuntimeProblem, SlotPhase
from modelpool_operator.account import Account, Trouble
from modelpool_operator.demand.port import Demand
from modelpool_operator.history import History
from modelpool_operator.observe import Observation, snapshot_of
from modelpool_operator.planner import Plan, SlotFacts, Snapshot, Target, plan
from modelpool_operator.status import status_of, status_without_sight
from support.operator_stage import POOL_FILE

POOL = parse_pool(POOL_FILE, "pool.yaml")
GENERATION = 6
"""That the workers have been looked at for."""
GIB = 2**30
HELD = {
    "studio-primary-0": ("flat",),
    "studio-primary-1": ("flat",),
    "studio-secondary-0": ("outline",),
    "studio-secondary-1": ("neon",),
    "studio-video-0": (),
}


def seen(now: int = 1_000_000, **changes: Heartbeat | None) -> Observation:
    """Everything in order; a change replaces a slot's heartbeat, None takes it away."""
    beats = {slot: Heartbeat(slot=slot, worker="w", pid=1, hot=hot) for slot, hot in HELD.items()}
    for name, beat in changes.items():
        slot = "studio-" + name.replace("_", "-")
        if beat is None:
            del beats[slot]
        else:
            beats[slot] = beat
    assignments = {slot: Assignment(epoch=4, version=1, hot=hot) for slot, hot in HELD.items()}
    return Observation(now, beats, assignments, demand=Demand(source="a test"))


def beat(slot: str, hot: tuple[str, ...] = (), **facts: object) -> Heartbeat:
    return Heartbeat.model_validate({"slot": slot, "worker": "w", "pid": 1, "hot": hot, **facts})


def told(
    observation: Observation, trouble: Trouble | None = None, previous: ModelPoolStatus | None = None
) -> ModelPoolStatus:
    snapshot = snapshot_of(POOL, observation, History())
    account = Account(POOL, GENERATION, 4, observation, snapshot, plan(snapshot), trouble or Trouble())
    return status_of(account, previous)


def condition(status: ModelPoolStatus, kind: str) -> tuple[str, str]:
    found = next(c for c in status.conditions if c.type == kind)
    return found.reason, found.message


def gpu(status: ModelPoolStatus, slot: str) -> GpuStatus:
    return next(gpu for gpu in status.gpus if gpu.slot == slot)


def model(status: ModelPoolStatus, name: str) -> ModelStatus:
    return next(model for model in status.models if model.name == name)


def facts(snapshot: Snapshot, slot: str) -> SlotFacts:
    return next(facts for facts in snapshot.slots if facts.name == slot)


def test_a_change_is_not_called_observed_before_the_workers_were_looked_at_for_it() -> None:
    assert POOL.metadata.generation != GENERATION
    status = told(seen())
    assert status.observed_generation == GENERATION
    assert {condition.observed_generation for condition in status.conditions} == {GENERATION}


# --- the snapshot -------------------------------------------------------------------------------------------------


def test_measured_figures_win_over_those_of_the_spec() -> None:
    measured = MeasuredModel(
        weights_bytes=13 * GIB,
        cold_to_hot_seconds=Stat(mean=4.0, deviation=0.5, count=3),
        warm_to_hot_seconds=Stat(mean=0.4, deviation=0.1, count=3),
        seconds_per_megapixel_step=Stat(mean=0.5),
    )
    other = MeasuredModel(weights_bytes=12 * GIB, cold_to_hot_seconds=Stat(mean=3.0))
    observation = seen(
        primary_0=beat("studio-primary-0", ("flat",), measured={"flat": measured}),
        primary_1=beat("studio-primary-1", ("flat",), measured={"flat": other}),
    )
    flat, outline = snapshot_of(POOL, observation, History()).models[:2]
    assert (flat.weights, flat.activations) == (13 * GIB, 4 * GIB)
    assert (flat.cold_load, flat.warm_load) == pytest.approx((5.5, 0.7))
    assert flat.service == pytest.approx(0.02 + 1.048576 * 20 * 0.5)
    assert outline.weights == 14 * GIB
    assert outline.cold_load > outline.warm_load > 0


def test_queue_and_demand_reach_the_planner() -> None:
    depth = ModelDepth(queued=3, running=1, queued_work=6.0, oldest_enqueued_at=7, by_lane={Lane.PAID: 2})
    observation = replace(seen(), depths={"neon": depth}, demand=Demand({"neon": 0.4}, {"neon": 0.2}, source="a test"))
    neon = next(m for m in snapshot_of(POOL, observation, History()).models if m.name == "neon")
    assert (neon.queued, neon.queued_paid, neon.queued_work, neon.running, neon.oldest_at) == (3, 2, 6.0, 1, 7)
    assert (neon.rate, neon.long_rate) == pytest.approx((0.35, 0.2))


def test_a_slot_is_alive_with_a_heartbeat_and_starting_while_the_runtime_says_so() -> None:
    draining = beat("studio-primary-1", ("flat",), draining=True)
    observation = seen(primary_0=None, primary_1=draining, secondary_0=None)
    found = ObservedSlot(slot="studio-primary-0", tier="primary", phase=SlotPhase.STARTING)
    snapshot = snapshot_of(POOL, replace(observation, runtime={"studio-primary-0": found}), History())
    kinds = {slot.name: (slot.alive, slot.starting) for slot in snapshot.slots}
    assert kinds["studio-primary-0"] == (False, True)
    assert kinds["studio-primary-1"] == (False, False)
    assert kinds["studio-secondary-0"] == (False, False)
    assert kinds["studio-secondary-1"] == (True, False)


def test_a_worker_that_the_runtime_saw_end_is_gone_though_its_heartbeat_lives_on() -> None:
    ended = ObservedSlot(slot="studio-secondary-1", tier="secondary", phase=SlotPhase.RESTARTING)
    observation = replace(seen(), runtime={"studio-secondary-1": ended}, depths={"neon": ModelDepth(queued=1)})
    snapshot = snapshot_of(POOL, observation, History())
    assert not facts(snapshot, "studio-secondary-1").alive
    assert plan(snapshot).misses == ("neon",)


def test_without_an_assignment_on_record_nothing_is_taken_as_told() -> None:
    observation = replace(seen(), assignments={})
    assert facts(snapshot_of(POOL, observation, History()), "studio-video-0").assigned is None


# --- the status ---------------------------------------------------------------------------------------------------


def test_a_pool_in_order() -> None:
    status = told(seen())
    assert (status.epoch, status.slots, status.ready_slots, status.hot_models, status.queued) == (4, 5, 5, 3, 0)
    assert [(c.type, c.status, c.reason) for c in status.conditions] == [
        ("Ready", "True", "Serving"),
        ("Progressing", "False", "AtRest"),
        ("Degraded", "False", "AsExpected"),
        ("DemandSourceAvailable", "True", "Available"),
    ]
    assert {m.name: (m.state, m.replicas) for m in status.models} == {
        "flat": (ModelState.HOT, 2),
        "outline": (ModelState.HOT, 1),
        "neon": (ModelState.HOT, 1),
        "mosaic": (ModelState.COLD, 0),
        "woodcut": (ModelState.COLD, 0),
        "motion": (ModelState.COLD, 0),
    }
    assert ModelPoolStatus.model_validate_json(status.to_json()) == status


def test_a_slot_without_a_worker_shows_the_runtimes_own_words() -> None:
    crashed = ObservedSlot(
        slot="studio-secondary-1", tier="secondary", phase=SlotPhase.RESTARTING, reason="killed by SIGKILL", node="here"
    )
    status = told(replace(seen(secondary_1=None), runtime={"studio-secondary-1": crashed}))
    shown = gpu(status, "studio-secondary-1")
    assert (shown.phase, shown.reason, shown.node) == (SlotPhase.RESTARTING, "killed by SIGKILL", "here")
    assert condition(status, "Ready") == (
        "SlotsNotReady",
        "1 of 5 slots without a running worker: studio-secondary-1. studio-secondary-1: killed by SIGKILL",
    )
    assert condition(status, "Degraded") == ("SlotFailed", "studio-secondary-1: killed by SIGKILL")


def test_an_always_model_that_is_not_hot_is_not_ready() -> None:
    status = told(seen(primary_0=beat("studio-primary-0")))
    assert condition(status, "Ready") == (
        "ModelsNotHot",
        "Not every model of its Always tier is hot in studio-primary-0.",
    )
    assert condition(status, "Progressing") == ("Loading", "Models are being loaded in studio-primary-0.")
    assert gpu(status, "studio-primary-0").planned == ("flat",)


def test_a_failed_load_shows_the_workers_own_words() -> None:
    failure = SlotFailure(code="model_load_failed", message="model_index.json is missing", at=5, model="mosaic")
    observation = seen(secondary_1=beat("studio-secondary-1", failed={"mosaic": failure}))
    wanted = {**observation.assignments, "studio-secondary-1": Assignment(epoch=4, version=2, hot=("mosaic",))}
    status = told(replace(observation, assignments=wanted))
    shown = model(status, "mosaic")
    assert (shown.state, shown.last_failure) == (ModelState.FAILED, "model_index.json is missing")
    assert condition(status, "Degraded") == ("LoadFailed", "mosaic could not be loaded: model_index.json is missing")
    assert "model_index.json is missing" in gpu(status, "studio-secondary-1").reason


def test_a_slots_last_error_is_shown_for_a_while() -> None:
    failed = SlotFailure(code="out_of_memory", message="the device ran out of memory", at=1_000_000)
    worker = beat("studio-primary-0", ("flat",), error=failed)
    assert gpu(told(seen(1_100_000, primary_0=worker)), "studio-primary-0").reason == "the device ran out of memory"
    assert gpu(told(seen(2_000_000, primary_0=worker)), "studio-primary-0").reason == ""


def test_a_move_explains_itself_until_it_has_arrived() -> None:
    waiting = replace(seen(), depths={"motion": ModelDepth(queued=1, queued_work=1.0)})
    first = told(waiting)
    assert gpu(first, "studio-video-0").reason == "1 job waits for motion, which was hot nowhere"
    assert model(first, "motion").state is ModelState.LOADING
    fetching = beat("studio-video-0", loading=Loading(model="motion", origin=REMOTE, since=0))
    fetched = replace(waiting, heartbeats={**waiting.heartbeats, "studio-video-0": fetching})
    assert model(told(fetched), "motion").state is ModelState.FETCHING
    on_its_way = replace(
        waiting,
        now=1_002_000,
        assignments={**waiting.assignments, "studio-video-0": Assignment(epoch=4, version=2, hot=("motion",))},
    )
    second = told(on_its_way, previous=first)
    assert gpu(second, "studio-video-0").reason == gpu(first, "studio-video-0").reason
    arrived = replace(
        on_its_way, heartbeats={**on_its_way.heartbeats, "studio-video-0": beat("studio-video-0", ("motion",))}
    )
    assert gpu(told(arrived, previous=second), "studio-video-0").reason == ""


def test_moments_stay_while_nothing_changes() -> None:
    first = told(seen(1_000_000))
    second = told(seen(9_000_000), previous=first)
    assert second.model_copy(update={"updated_at": first.updated_at}) == first
    third = told(seen(9_000_000, primary_0=None), previous=second)
    assert gpu(third, "studio-primary-0").since == 9_000_000
    assert gpu(third, "studio-primary-1").since == 1_000_000
    moments = {c.type: c.last_transition_time for c in third.conditions}
    assert moments["Ready"] == "1970-01-01T02:30:00Z"
    assert moments["Progressing"] == "1970-01-01T00:16:40Z"


def test_traffic_is_told_in_two_digits() -> None:
    status = told(replace(seen(), demand=Demand({"neon": 0.123456}, {}, source="a test")))
    assert model(status, "neon").per_minute == 7.4
    assert model(status, "neon").forecast_per_minute == 5.6


def test_load_seconds_appear_once_measured() -> None:
    assert model(told(seen()), "flat").load_seconds is None
    cold = {"flat": MeasuredModel(cold_to_hot_seconds=Stat(mean=3.0, deviation=0.5))}
    warm = {"flat": MeasuredModel(warm_to_hot_seconds=Stat(mean=0.5))}
    assert model(told(seen(primary_0=beat("studio-primary-0", ("flat",), measured=cold))), "flat").load_seconds == 4.5
    assert model(told(seen(primary_0=beat("studio-primary-0", ("flat",), measured=warm))), "flat").load_seconds == 0.5


def test_a_busy_slot_is_as_ready_as_an_idle_one() -> None:
    busy = beat("studio-primary-0", ("flat",), batch=RunningBatch(model="flat", size=2, since=1))
    assert condition(told(seen(primary_0=busy)), "Ready")[0] == "Serving"


@pytest.mark.parametrize(
    ("trouble", "kind", "reason"),
    [
        (Trouble(spec="pool.yaml: is empty"), "Degraded", "InvalidSpec"),
        (Trouble(runtime="the supervisor is away"), "Degraded", "RuntimeUnavailable"),
        (Trouble(demand="Prometheus is away"), "DemandSourceAvailable", "Unavailable"),
    ],
)
def test_trouble_around_the_operator_is_told(trouble: Trouble, kind: str, reason: str) -> None:
    status = told(seen(), trouble)
    assert condition(status, kind)[0] == reason
    assert condition(status, "Ready")[0] == "Serving"


def test_the_price_of_a_generation_stands_still_while_nobody_asks() -> None:
    made = Spent(generate=1800, idle=1800, generations=10)
    traffic = replace(
        seen(primary_0=beat("studio-primary-0", ("flat",), spent=made)),
        depths={"flat": ModelDepth(queued=1, queued_work=1.0)},
    )
    first = told(traffic)
    assert first.cost is not None
    assert first.cost.useful_share == 0.5
    assert first.cost.per_generation_usd == "0.025"
    later = beat("studio-primary-0", ("flat",), spent=Spent(idle=3600))
    assert told(seen(primary_0=later), previous=first).cost == first.cost
    assert told(seen(primary_0=later)).cost is None


def test_a_slot_for_which_there_is_no_room_says_so_in_the_schedulers_words() -> None:
    word = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    pending = ObservedSlot(slot="studio-secondary-1", tier="secondary", phase=SlotPhase.PENDING, reason=word)
    status = told(replace(seen(secondary_1=None), runtime={"studio-secondary-1": pending}))
    assert gpu(status, "studio-secondary-1").reason == word
    assert condition(status, "Ready")[1].endswith(f"studio-secondary-1: {word}")
    assert condition(status, "Degraded") == ("SlotPending", f"studio-secondary-1: {word}")


def test_a_problem_of_the_runtime_is_the_first_thing_to_look_at() -> None:
    problem = RuntimeProblem(reason="PodRefused", message="studio-primary-0: the API server refuses its pod: no")
    status = told(seen(), Trouble(problems=(problem,)))
    assert condition(status, "Degraded") == (problem.reason, problem.message)


def test_replacing_workers_is_progress() -> None:
    status = told(seen(), Trouble(rollout="studio-primary-1: studio-primary-0 comes first"))
    assert condition(status, "Progressing") == (
        "RollingOut",
        "Workers are replaced one after the other; studio-primary-1: studio-primary-0 comes first.",
    )


def test_loading_a_new_revision_slot_by_slot_is_progress() -> None:
    status = told(seen(), Trouble(reload="flat (2 to go)"))
    assert condition(status, "Progressing") == (
        "RollingOut",
        "A new revision is loaded in one slot after the other: flat (2 to go).",
    )


def test_a_source_of_demand_that_stands_in_says_for_whom_and_why() -> None:
    stand_in = Demand(source="the queue's admission counters", stands_in_for="Prometheus does not answer")
    status = told(replace(seen(), demand=stand_in))
    assert condition(status, "DemandSourceAvailable") == (
        "FallbackInUse",
        "Prometheus does not answer; the queue's admission counters stand in.",
    )


def test_when_nothing_can_be_seen_the_last_status_stays_with_the_reason() -> None:
    before = told(seen())
    blind = status_without_sight(before, 1, 5, 9_000_000, "QueueUnavailable", "Redis is away.")
    assert condition(blind, "Ready") == ("QueueUnavailable", "Redis is away.")
    assert {c.type: c.status for c in blind.conditions} == {
        "Ready": "False",
        "Degraded": "True",
        "Progressing": "False",
        "DemandSourceAvailable": "True",
    }
    assert (blind.gpus, blind.epoch) == (before.gpus, 5)
    later = status_without_sight(blind, 1, 5, 9_900_000, "QueueUnavailable", "Redis is away.")
    assert later.conditions == blind.conditions


def test_a_model_that_could_be_loaded_elsewhere_since_is_not_failed_when_it_leaves() -> None:
    history = History()
    failure = SlotFailure(code="model_load_failed", message="the disk is full", at=5, model="mosaic")
    failed = beat("studio-secondary-1", failed={"mosaic": failure})

    def look(now: int, secondary_0: Heartbeat, told_to: str) -> ModelState:
        observation = seen(now, secondary_0=secondary_0, secondary_1=failed)
        slot = Assignment(epoch=4, version=2, hot=("mosaic",))
        observation = replace(observation, assignments={**observation.assignments, told_to: slot})
        snapshot = snapshot_of(POOL, observation, history)
        account = Account(POOL, GENERATION, 4, observation, snapshot, Plan(targets_of(snapshot)), Trouble())
        return model(status_of(account, None), "mosaic").state

    idle = beat("studio-secondary-0")
    assert look(1_000, idle, "studio-secondary-1") is ModelState.FAILED
    assert look(20_000, beat("studio-secondary-0", hot=("mosaic",)), "studio-secondary-0") is ModelState.HOT
    assert look(40_000, idle, "studio-secondary-0") is ModelState.COLD


def targets_of(snapshot: Snapshot) -> tuple[Target, ...]:
    """Nothing is planned anywhere."""
    return tuple(Target(slot.name, (), ()) for slot in snapshot.slots)
