"""The planner's rules, one behaviour a test."""

from dataclasses import replace
from typing import Any

import pytest

from modelpool.resources.spec import Policy
from modelpool_operator.planner import FailedLoad, HeldReason, ModelFacts, Plan, Reason, SlotFacts, plan
from support.snapshots import NOW, applied, converged, hot, loads, model, slot, snapshot, unloads

ALWAYS = {"primary": Policy.ALWAYS}
ROTATE = {"secondary": Policy.ROTATE}
ON_DEMAND = {"video": Policy.ON_DEMAND}
LONG_AGO = NOW - 3_600_000


def rotating(*names: str, **queued: int) -> list[ModelFacts]:
    return [model(name, "secondary", queued=queued.get(name, 0)) for name in names]


def holding(name: str, index: int = 0, **facts: Any) -> SlotFacts:
    facts.setdefault("hot_since", {name: LONG_AGO})
    return slot(f"s{index}", "secondary", holds=[name], **facts)


# --- Always tiers -------------------------------------------------------------------------------------------------


def test_an_always_tier_has_every_model_hot_on_every_slot() -> None:
    slots = [slot(f"p{i}", "primary") for i in range(2)]
    found = plan(snapshot(slots, [model("a", "primary", 10), model("b", "primary", 8)], ALWAYS))
    assert hot(found) == {"p0": ("a", "b"), "p1": ("a", "b")}
    assert {reason for *_, reason in loads(found)} == {Reason.ALWAYS_TIER}


def test_no_more_slots_load_at_a_time_than_allowed() -> None:
    before = snapshot([slot(f"p{i}", "primary") for i in range(4)], [model("a", "primary")], ALWAYS)
    found = plan(before)
    assert [name for name, *_ in loads(found)] == ["p0", "p1"]
    assert {held.slot: held.reason for held in found.held} == {
        "p2": HeldReason.MAX_CONCURRENT_LOADS,
        "p3": HeldReason.MAX_CONCURRENT_LOADS,
    }
    assert loads(plan(applied(before, found))) == []
    assert [name for name, *_ in loads(plan(converged(before, found)))] == ["p2", "p3"]


def test_a_slot_without_a_worker_gets_nothing_new_and_keeps_what_it_has() -> None:
    slots = [slot("p0", "primary", alive=False), slot("p1", "primary", alive=False, assigned=("a",))]
    found = plan(snapshot(slots, [model("a", "primary")], ALWAYS))
    assert hot(found) == {"p0": (), "p1": ("a",)}
    assert [(held.slot, held.reason) for held in found.held] == [("p0", HeldReason.NO_WORKER)]


def test_an_always_tier_that_measured_too_large_keeps_what_fits_and_says_what_does_not() -> None:
    slots = [slot("p0", "primary", holds=["a", "b"])]
    found = plan(snapshot(slots, [model("a", "primary", 14), model("b", "primary", 10)], ALWAYS))
    assert hot(found) == {"p0": ("a",)}
    assert unloads(found) == [("p0", "b", Reason.OVER_BUDGET)]
    assert [(held.model, held.reason) for held in found.held] == [("b", HeldReason.LARGER_THAN_SLOT)]


def test_a_model_that_serves_alone_stays_though_it_measured_too_large() -> None:
    found = plan(snapshot([slot("p0", "primary", holds=["a"])], [model("a", "primary", 30)], ALWAYS))
    assert hot(found) == {"p0": ("a",)}
    assert found.moves == ()


# --- demand misses ------------------------------------------------------------------------------------------------


def test_a_miss_loads_at_once_in_place_of_the_model_that_costs_least_to_bring_back() -> None:
    models = [
        model("a", "secondary", 14, rate=0.5),
        model("b", "secondary", 14, rate=0.1),
        model("c", "secondary", 14, queued=1),
    ]
    found = plan(snapshot([holding("a", 0), holding("b", 1)], models, ROTATE))
    assert loads(found) == [("s1", "c", Reason.DEMAND_MISS)]
    assert unloads(found) == [("s1", "b", Reason.MAKE_ROOM)]
    load = found.moves[-1]
    assert load.score == pytest.approx(0.1)
    assert load.runner_up == "s0"
    assert load.sentence == "1 job waits for c, which was hot nowhere"
    assert found.misses == ("c",)


def test_without_a_forecast_the_model_unused_for_longest_leaves() -> None:
    models = [
        model("a", "secondary", 14, used_at=NOW - 5),
        model("b", "secondary", 14, used_at=NOW - 9),
        model("c", "secondary", 14, queued=1),
    ]
    found = plan(snapshot([holding("a", 0), holding("b", 1)], models, ROTATE))
    assert unloads(found) == [("s1", "b", Reason.MAKE_ROOM)]


def test_nothing_leaves_where_there_is_room() -> None:
    models = [model("a", "secondary", 14), model("b", "secondary", 8, queued=1)]
    found = plan(snapshot([holding("a", 0), holding("a", 1, batch="a")], models, ROTATE))
    assert unloads(found) == []
    assert loads(found) == [("s0", "b", Reason.DEMAND_MISS)]


def test_only_as_many_leave_as_must() -> None:
    models = [
        model("small", "secondary", 4, rate=0.001),
        model("large", "secondary", 12, rate=0.01),
        model("c", "secondary", 12, queued=1),
    ]
    both = slot("s0", "secondary", holds=["small", "large"])
    found = plan(snapshot([both], models, ROTATE))
    assert unloads(found) == [("s0", "large", Reason.MAKE_ROOM)]
    assert hot(found) == {"s0": ("c", "small")}


def test_a_second_copy_leaves_before_an_only_one() -> None:
    models = [
        model("a", "secondary", 14, rate=9, used_at=NOW),
        model("b", "secondary", 14),
        model("c", "secondary", 14, queued=1),
    ]
    found = plan(snapshot([holding("a", 0), holding("b", 1), holding("a", 2)], models, ROTATE))
    assert unloads(found) == [("s0", "a", Reason.MAKE_ROOM)]


def test_a_batch_in_flight_is_not_disturbed_even_where_waiting_is_the_price() -> None:
    models = [model("a", "secondary", 14, running=1), model("c", "secondary", 14, queued=1)]
    found = plan(snapshot([holding("a", batch="a", hot_since={"a": NOW})], models, ROTATE))
    assert found.moves == ()
    assert [(held.model, held.reason) for held in found.held] == [("c", HeldReason.ALL_SLOTS_BUSY)]


def test_a_batch_that_no_report_shows_yet_counts_as_in_flight() -> None:
    models = [model("a", "secondary", 14, running=1), model("c", "secondary", 14, queued=1)]
    found = plan(snapshot([holding("a", hot_since={"a": NOW})], models, ROTATE))
    assert found.moves == ()


def test_an_idle_slot_is_chosen_before_a_busy_one() -> None:
    models = [*rotating("a", "b"), model("c", "secondary", 10, queued=1)]
    busy = slot("s0", "secondary", 40, holds=["a"], batch="a")
    idle = slot("s1", "secondary", 40, holds=["b"])
    assert loads(plan(snapshot([busy, idle], models, ROTATE))) == [("s1", "c", Reason.DEMAND_MISS)]


def test_a_slot_that_has_the_model_warm_is_chosen_before_one_that_has_not() -> None:
    models = [*rotating("a", "b"), model("c", "secondary", 20, queued=1)]
    found = plan(snapshot([holding("a", 0), holding("b", 1, warm=("c",))], models, ROTATE))
    assert ("s1", "c", Reason.DEMAND_MISS) in loads(found)


def test_paid_misses_come_first_and_then_who_has_waited_longest() -> None:
    models = [
        *rotating("a"),
        model("young", "secondary", 14, queued=5, oldest_at=NOW - 10),
        model("old", "secondary", 14, queued=1, oldest_at=NOW - 99),
        model("paid", "secondary", 14, queued=1, queued_paid=1, oldest_at=NOW - 1),
    ]
    before = snapshot([holding("a")], models, ROTATE)
    assert plan(before).misses == ("paid", "old", "young")
    assert loads(plan(before)) == [("s0", "paid", Reason.DEMAND_MISS)]


def test_hysteresis_and_residency_do_not_delay_a_miss() -> None:
    models = [model("a", "secondary", 14, rate=10), model("c", "secondary", 14, queued=1)]
    before = snapshot(
        [holding("a", hot_since={"a": NOW})], models, ROTATE, hysteresis=100, min_residency_seconds=3600, dry_run=True
    )
    assert loads(plan(before)) == [("s0", "c", Reason.DEMAND_MISS)]


def test_a_model_that_is_coming_is_not_loaded_twice() -> None:
    models = [*rotating("a"), model("c", "secondary", 14, queued=9)]
    coming = slot("s0", "secondary", assigned=("c",), hot=("a",))
    found = plan(snapshot([coming, holding("a", 1)], models, ROTATE))
    assert found.misses == ()
    assert found.moves == ()


def test_a_model_that_has_not_left_yet_is_kept_instead_of_loaded_elsewhere() -> None:
    models = [model("a", "secondary", 14), model("b", "secondary", 14), model("c", "secondary", 14, queued=1)]
    leaving = slot("s0", "secondary", assigned=(), hot=("c",))
    found = plan(snapshot([leaving, holding("b", 1)], models, ROTATE, max_concurrent_loads=1))
    assert ("s0", "c", Reason.DEMAND_MISS) in loads(found)


# --- turns --------------------------------------------------------------------------------------------------------


def test_a_model_with_jobs_keeps_its_place_for_a_turn_and_then_gives_it_to_the_next() -> None:
    models = [model("a", "secondary", 14, queued=50), model("c", "secondary", 14, queued=1)]
    before = snapshot([holding("a", batch="a", hot_since={"a": NOW})], models, ROTATE)
    assert plan(before).moves == ()
    later = replace(before, now=NOW + 3_000)
    found = plan(later)
    assert unloads(found) == [("s0", "a", Reason.TURN_OVER)]
    assert [move.after_batch for move in found.moves] == [True, False]


def test_who_has_just_lost_its_place_does_not_take_the_next_one() -> None:
    models = [model(name, "secondary", 14, queued=5) for name in "abc"]
    before = snapshot([holding("a", 0, batch="a"), holding("b", 1, batch="b")], models, ROTATE)
    found = plan(before)
    assert loads(found) == [("s0", "c", Reason.DEMAND_MISS)]
    assert plan(applied(before, found)).moves == ()


def test_more_wanted_models_than_slots_all_get_their_turn_within_a_bounded_time() -> None:
    """Five models with endless queues over two slots: nobody waits longer than the others' turns and loads."""
    names = "abcde"
    state = snapshot(
        [holding("a", 0), holding("b", 1)], [model(name, "secondary", 14, queued=99) for name in names], ROTATE
    )
    last_served = dict.fromkeys(names, state.now)
    worst, swaps = 0, 0
    for _ in range(600):
        found = plan(state)
        swaps += len(loads(found))
        state = converged(state, found, seconds=0.5)
        state = replace(state, slots=tuple(replace(s, batch=s.hot[0] if s.hot else None) for s in state.slots))
        for name in names:
            if any(name in s.hot for s in state.slots):
                last_served[name] = state.now
            worst = max(worst, state.now - last_served[name])
        state = replace(state, models=tuple(replace(m, left_at=last_served[m.name]) for m in state.models))
    assert worst <= 12_000
    assert swaps <= 220  # a turn is 3 s: 2 slots × 300 s / 3 s


# --- replicas and free room ---------------------------------------------------------------------------------------


def test_a_long_queue_brings_another_replica_on_an_idle_slot() -> None:
    models = [model("a", "secondary", 14, queued=20, queued_work=40.0), model("b", "secondary", 14)]
    found = plan(snapshot([holding("a", 0, batch="a"), holding("b", 1)], models, ROTATE))
    assert loads(found) == [("s1", "a", Reason.EXTRA_REPLICA)]


@pytest.mark.parametrize(
    ("work", "resident", "dry_run", "reason"),
    [
        (2.0, LONG_AGO, False, None),
        (40.0, NOW - 1000, False, HeldReason.MIN_RESIDENCY),
        (40.0, LONG_AGO, True, HeldReason.DRY_RUN),
    ],
)
def test_a_replica_waits_where_it_would_not_help_or_may_not_come(
    work: float, resident: int, dry_run: bool, reason: HeldReason | None
) -> None:
    models = [model("a", "secondary", 14, queued=20, queued_work=work), model("b", "secondary", 14)]
    slots = [holding("a", 0, batch="a"), holding("b", 1, hot_since={"b": resident})]
    found = plan(snapshot(slots, models, ROTATE, dry_run=dry_run))
    assert found.moves == ()
    assert [held.reason for held in found.held] == ([reason] if reason else [])


def test_rotate_tiers_start_filled_each_model_once() -> None:
    slots = [slot(f"s{i}", "secondary") for i in range(2)]
    before = snapshot(slots, rotating("a", "b", "c"), ROTATE)
    found = plan(before)
    assert hot(found) == {"s0": ("a",), "s1": ("b",)}
    assert {reason for *_, reason in loads(found)} == {Reason.FILL}
    later = converged(before, found)
    assert hot(plan(later)) == {"s0": ("a", "c"), "s1": ("b",)}
    assert plan(converged(later, plan(later))).moves == ()


def test_while_workers_come_up_the_first_does_not_get_everything() -> None:
    slots = [slot("s0", "secondary"), slot("s1", "secondary", alive=False, starting=True)]
    found = plan(snapshot(slots, rotating("a", "b"), ROTATE))
    assert hot(found) == {"s0": ("a",), "s1": ()}


def test_a_slot_that_stays_empty_gets_a_replica_of_the_most_wanted() -> None:
    slots = [slot(f"s{i}", "secondary") for i in range(3)]
    models = [model("a", "secondary", 14), model("b", "secondary", 14, rate=1.0)]
    found = plan(snapshot(slots, models, ROTATE, max_concurrent_loads=3))
    assert hot(found) == {"s0": ("b",), "s1": ("a",), "s2": ("b",)}


def test_dry_run_fills_nothing() -> None:
    assert plan(snapshot([slot("s0", "secondary")], rotating("a"), ROTATE, dry_run=True)).moves == ()


# --- OnDemand and lending -----------------------------------------------------------------------------------------


def test_on_demand_models_load_when_asked_for_and_leave_when_idle() -> None:
    empty = slot("v0", "video")
    assert plan(snapshot([empty], [model("svd", "video")], ON_DEMAND)).moves == ()
    asked = plan(snapshot([empty], [model("svd", "video", queued=1)], ON_DEMAND))
    assert loads(asked) == [("v0", "svd", Reason.DEMAND_MISS)]

    def idle_for(seconds: float, batch: str | None = None) -> list[tuple[str, str, Reason]]:
        svd = model("svd", "video", used_at=NOW - int(seconds * 1000))
        return unloads(plan(snapshot([slot("v0", "video", holds=["svd"], batch=batch)], [svd], ON_DEMAND)))

    assert idle_for(599) == []
    assert idle_for(600) == [("v0", "svd", Reason.IDLE)]
    assert idle_for(600, batch="svd") == []


def test_an_idle_lent_slot_hosts_a_rotating_model_when_its_own_slots_are_busy() -> None:
    models = [
        model("a", "secondary", 14, running=1),
        model("c", "secondary", 14, queued=1),
        model("svd", "video", 14),
    ]
    slots = [holding("a", batch="a", hot_since={"a": NOW}), slot("v0", "video")]
    policies = ROTATE | ON_DEMAND
    assert loads(plan(snapshot(slots, models, policies))) == []
    assert loads(plan(snapshot(slots, models, policies, lend=["video"]))) == [("v0", "c", Reason.DEMAND_MISS)]


def test_a_lent_slot_goes_home_the_moment_its_tier_has_demand() -> None:
    models = [model("a", "secondary", 14, queued=9), model("svd", "video", 14, queued=1)]
    slots = [
        holding("a", 0, batch="a"),
        slot("v0", "video", holds=["a"], batch="a", hot_since={"a": NOW}),
    ]
    found = plan(snapshot(slots, models, ROTATE | ON_DEMAND, lend=["video"]))
    assert hot(found) == {"s0": ("a",), "v0": ("svd",)}
    assert unloads(found) == [("v0", "a", Reason.GO_HOME)]
    assert found.moves[0].after_batch


def test_guests_leave_even_where_there_would_be_room_for_both() -> None:
    models = [model("a", "secondary", 4), model("svd", "video", 14, queued=1)]
    slots = [holding("a", 0), slot("v0", "video", 48, holds=["a"])]
    found = plan(snapshot(slots, models, ROTATE | ON_DEMAND, lend=["video"]))
    assert hot(found)["v0"] == ("svd",)


def test_no_guest_comes_while_the_tier_has_demand() -> None:
    models = [model("c", "secondary", 14, queued=1), model("svd", "video", 14, running=1)]
    slots = [slot("s0", "secondary", alive=False), slot("v0", "video", 48, holds=["svd"], batch="svd")]
    found = plan(snapshot(slots, models, ROTATE | ON_DEMAND, lend=["video"]))
    assert found.moves == ()
    assert [held.reason for held in found.held] == [HeldReason.NO_WORKER]


# --- failures and changes of the pool -----------------------------------------------------------------------------


def test_a_failed_load_is_taken_back_and_not_tried_again_before_its_time() -> None:
    failed = [FailedLoad("s0", "c", retry_at=NOW + 10_000, message="no such folder")]
    models = [model("a", "secondary", 14), model("c", "secondary", 14, queued=1)]
    told = slot("s0", "secondary", assigned=("c",))
    before = snapshot([told, holding("a", 1)], models, ROTATE, failed=failed)
    found = plan(before)
    assert unloads(found) == [("s0", "c", Reason.LOAD_FAILED)]
    assert [(held.model, held.reason) for held in found.held] == [("c", HeldReason.LOAD_BACK_OFF)]
    assert hot(found) == {"s0": ("a",), "s1": ("a",)}
    retried = plan(replace(applied(before, found), now=NOW + 10_000))
    assert [(name, reason) for _, name, reason in loads(retried)] == [("c", Reason.DEMAND_MISS)]


def test_an_always_tier_retries_only_the_slot_that_failed() -> None:
    failed = [FailedLoad("p0", "a", retry_at=NOW + 10_000, message="out of memory")]
    slots = [slot("p0", "primary"), slot("p1", "primary")]
    found = plan(snapshot(slots, [model("a", "primary")], ALWAYS, failed=failed))
    assert hot(found) == {"p0": (), "p1": ("a",)}
    assert [(held.slot, held.reason) for held in found.held] == [("p0", HeldReason.LOAD_BACK_OFF)]


def test_models_that_left_the_pool_or_the_tier_leave_their_slots() -> None:
    slots = [holding("gone", 0), slot("s1", "secondary", alive=False, assigned=("gone",)), holding("p", 2)]
    models = [*rotating("a"), model("p", "primary")]
    found = plan(snapshot(slots, models, ROTATE | ALWAYS, max_concurrent_loads=2))
    assert hot(found) == {"s0": ("a",), "s1": (), "s2": ("a",)}
    assert [reason for *_, reason in unloads(found)] == [Reason.REMOVED] * 3


def test_a_model_that_measured_larger_than_any_slot_is_not_loaded() -> None:
    found = plan(snapshot([slot("s0", "secondary")], [model("a", "secondary", 24, queued=1)], ROTATE))
    assert found.moves == ()
    assert [(h.reason, h.sentence) for h in found.held] == [
        (HeldReason.LARGER_THAN_SLOT, "a needs 26Gi and the largest slot for it has 24Gi")
    ]


def test_what_a_slot_reports_is_taken_as_told_where_nothing_is_on_record() -> None:
    found = plan(snapshot([slot("s0", "secondary", hot=("b",))], rotating("a", "b"), ROTATE, dry_run=True))
    assert hot(found) == {"s0": ("b",)}


# --- proactive swaps ----------------------------------------------------------------------------------------------


def swap_case(*, cold: float = 22.0, rate: float = 0.05, victim_rate: float = 0.001, **rules: Any) -> Plan:
    models = [
        model("a", "secondary", 14, rate=victim_rate, cold_load=cold),
        model("c", "secondary", 14, rate=rate, cold_load=cold),
    ]
    return plan(snapshot([holding("a", hot_since={"a": NOW - 61_000})], models, ROTATE, **rules))


def test_a_model_that_is_expected_comes_before_anybody_asks() -> None:
    found = swap_case()
    assert loads(found) == [("s0", "c", Reason.PROACTIVE_SWAP)]
    assert unloads(found) == [("s0", "a", Reason.MAKE_ROOM)]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"cold": 2.0}, HeldReason.FAST_LOADS),
        ({"min_residency_seconds": 90}, HeldReason.MIN_RESIDENCY),
        ({"victim_rate": 0.02}, HeldReason.HYSTERESIS),
        ({"dry_run": True}, HeldReason.DRY_RUN),
        ({"rate": 1e-6, "victim_rate": 0.0, "cold": 2.5, "horizon_seconds": 10}, None),
    ],
)
def test_a_proactive_swap_has_to_pass_every_gate(case: dict[str, Any], reason: HeldReason | None) -> None:
    found = swap_case(**case)
    if reason is None:
        assert loads(found) == [("s0", "c", Reason.PROACTIVE_SWAP)]
    else:
        assert found.moves == ()
        assert [held.reason for held in found.held] == [reason]


# --- warm sets ----------------------------------------------------------------------------------------------------


def test_host_memory_is_filled_by_value_and_never_over_its_budget() -> None:
    models = [
        model("a", "secondary", 14),
        model("b", "secondary", 10, long_rate=0.01),
        model("c", "secondary", 10, long_rate=0.03),
        model("d", "secondary", 5, long_rate=0.001),
    ]
    found = plan(snapshot([holding("a", host_memory=16)], models, ROTATE, dry_run=True))
    assert found.targets[0].warm == ("c", "d")
    roomy = plan(snapshot([holding("a", host_memory=25)], models, ROTATE, dry_run=True))
    assert roomy.targets[0].warm == ("b", "c", "d")


def test_a_warm_set_does_not_follow_every_flicker_of_the_forecast() -> None:
    models = [
        model("a", "secondary", 14),
        model("b", "secondary", 10, long_rate=0.01),
        model("c", "secondary", 10, long_rate=0.02),
    ]

    def warm(**facts: Any) -> tuple[str, ...]:
        slots = [holding("a", host_memory=12, **facts)]
        return plan(snapshot(slots, models, ROTATE, dry_run=True)).targets[0].warm

    assert warm() == ("c",)
    assert warm(assigned_warm=("b",)) == ("b",)
