"""What must hold for the plan of any snapshot whatever."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from modelpool.resources.spec import Policy
from modelpool_operator.planner import Action, FailedLoad, ModelFacts, Plan, Reason, SlotFacts, Snapshot, plan
from modelpool_operator.planner.evictions import MIN_TURN_SECONDS
from support.snapshots import NOW, applied, converged, model, slot, snapshot

POLICIES = {"always": Policy.ALWAYS, "rotate": Policy.ROTATE, "other": Policy.ROTATE, "video": Policy.ON_DEMAND}
NAMES = {"always": ["a1", "a2"], "rotate": ["r1", "r2", "r3", "r4"], "other": ["o1", "o2"], "video": ["v1", "v2"]}
TIER_OF = {name: tier for tier, names in NAMES.items() for name in names}
EVERYBODY = [*TIER_OF, "gone"]


def some(rng: random.Random, names: list[str], most: int) -> tuple[str, ...]:
    return tuple(rng.sample(names, rng.randint(0, most)))


def past(rng: random.Random) -> int:
    return NOW - rng.choice([0, 500, 2_000, 10_000, rng.randint(0, 900_000)])


def any_model(rng: random.Random, name: str) -> ModelFacts:
    queued = rng.choice([0, 0, 1, 30])
    return model(
        name,
        TIER_OF[name],
        weights=rng.choice([1, 4, 10, 14, 30]),
        activations=rng.choice([0, 2, 5]),
        cold_load=rng.choice([0.5, 5.0, 22.0]),
        warm_load=rng.choice([0.2, 1.0, 5.0]),
        queued=queued,
        queued_paid=rng.randint(0, queued),
        queued_work=queued * rng.choice([0.1, 5.0]),
        running=rng.choice([0, 0, 2]),
        oldest_at=past(rng) if queued else None,
        rate=rng.choice([0.0, 0.001, 0.05, 2.0]),
        long_rate=rng.choice([0.0, 0.001, 0.05]),
        used_at=past(rng),
        left_at=past(rng),
    )


def any_slot(rng: random.Random, tier: str, index: int) -> SlotFacts:
    assigned = rng.choice([None, some(rng, EVERYBODY, 3), some(rng, NAMES[tier], 2)])
    # Mostly what was told is what is there, as in life.
    reported = some(rng, EVERYBODY, 3) if assigned is None or rng.random() < 0.4 else assigned
    alive = rng.random() < 0.8
    return slot(
        f"{tier}-{index}",
        tier,
        vram=rng.choice([12, 24, 48]),
        host_memory=rng.choice([0.5, 8, 64]),
        alive=alive,
        starting=not alive and rng.random() < 0.5,
        assigned=assigned,
        assigned_warm=some(rng, EVERYBODY, 3),
        hot=reported if alive else (),
        warm=some(rng, EVERYBODY, 3),
        batch=rng.choice([None, *reported]) if alive else None,
        hot_since={name: past(rng) for name in reported},
    )


def any_snapshot(seed: int) -> Snapshot:
    """A pool of four tiers in any state whatever. From a seed, because thousands of examples matter more than small ones."""
    rng = random.Random(seed)
    all_slots = [any_slot(rng, tier, i) for tier in POLICIES for i in range(rng.randint(1, 3))]
    failed = [
        FailedLoad(s.name, name, retry_at=NOW + rng.choice([-1, 60_000]))
        for s in all_slots
        for name in some(rng, list(TIER_OF), 1)
        if rng.random() < 0.3
    ]
    return snapshot(
        all_slots,
        [any_model(rng, name) for name in TIER_OF],
        POLICIES,
        failed=failed,
        lend=rng.choice([(), ("video",)]),
        idle_seconds=rng.choice([1, 600]),
        max_concurrent_loads=rng.choice([1, 2, 100]),
        dry_run=rng.random() < 0.3,
        hysteresis=rng.choice([1, 3]),
    )


ANY = settings(max_examples=200)


def snapshots() -> st.SearchStrategy[Snapshot]:
    return st.integers(0, 2**32).map(any_snapshot)


def loading(state: Snapshot) -> set[str]:
    return {s.name for s in state.slots if s.alive and set(s.assigned or ()) - set(s.hot)}


def told(state: Snapshot) -> Snapshot:
    """With every slot's assignment on record, as from the second round on."""
    return replace(
        state, slots=tuple(replace(s, assigned=s.hot if s.assigned is None else s.assigned) for s in state.slots)
    )


def moves_of(found: Plan, action: Action) -> list[tuple[str, str]]:
    return [(move.slot, move.model) for move in found.moves if move.action is action]


@ANY
@given(snapshots())
def test_no_slot_is_ever_over_a_budget(state: Snapshot) -> None:
    size = {m.name: m for m in state.models}
    for s, target in zip(state.slots, plan(state).targets, strict=True):
        hot = [size[name] for name in target.hot]
        if len(hot) == 1 and hot[0].name in s.hot:
            continue  # it serves there, alone
        assert sum(m.weights for m in hot) + max((m.activations for m in hot), default=0) <= s.vram
        assert sum(size[name].weights for name in target.warm) <= s.host_memory
        assert not set(target.hot) & set(target.warm)


@ANY
@given(snapshots())
def test_a_model_with_a_batch_in_flight_leaves_only_after_it_and_only_for_a_reason_that_outranks_it(
    state: Snapshot,
) -> None:
    by_name = {s.name: s for s in state.slots}
    for move in plan(state).moves:
        s = by_name[move.slot]
        if move.action is Action.UNLOAD and s.batch == move.model:
            assert move.after_batch
            assert move.reason in {Reason.TURN_OVER, Reason.GO_HOME, Reason.OVER_BUDGET, Reason.REMOVED}
            if move.reason is Reason.TURN_OVER:
                assert NOW - s.hot_since[move.model] >= MIN_TURN_SECONDS * 1000


@ANY
@given(snapshots())
def test_never_two_loads_for_one_miss_and_never_more_loads_than_allowed(state: Snapshot) -> None:
    found = plan(state)
    misses = set(found.misses)
    for name in misses:
        for_it = [m for m in found.moves if m.model == name and m.reason is Reason.DEMAND_MISS]
        assert len(for_it) <= 1
    allowed = max(state.rules.max_concurrent_loads, len(loading(told(state))))
    assert len(loading(applied(state, found))) <= allowed


@ANY
@given(snapshots())
def test_a_plan_once_given_finds_nothing_more_to_do(state: Snapshot) -> None:
    first = plan(state)
    again = plan(applied(state, first))
    assert again.moves == ()
    assert again.targets == first.targets


@ANY
@given(snapshots())
def test_without_news_nothing_moves(state: Snapshot) -> None:
    """Converged, no queues, no time passed: the placement is at rest, whatever the forecast says."""
    quiet = replace(
        state,
        rules=state.rules.model_copy(update={"max_concurrent_loads": 100}),
        models=tuple(replace(m, queued=0, queued_paid=0, running=0, oldest_at=None) for m in state.models),
        slots=tuple(replace(s, batch=None) for s in state.slots),
        failed=(),
    )
    settled = converged(quiet, plan(quiet))
    settled = converged(settled, plan(settled))
    assert plan(settled).moves == ()


@ANY
@given(snapshots())
def test_the_same_snapshot_gives_the_same_plan(state: Snapshot) -> None:
    assert plan(state) == plan(state)
    shuffled = replace(state, failed=tuple(reversed(state.failed)))
    assert plan(shuffled) == plan(state)


@ANY
@given(snapshots())
def test_models_sit_only_where_they_belong(state: Snapshot) -> None:
    lends = {tier.name for tier in state.tiers if tier.lend}
    for s, target in zip(state.slots, plan(state).targets, strict=True):
        for name in (*target.hot, *target.warm):
            home = TIER_OF[name]
            assert home == s.tier or (s.tier in lends and POLICIES[home] is Policy.ROTATE)


@ANY
@given(snapshots())
def test_every_miss_is_served_or_says_why_it_waits(state: Snapshot) -> None:
    found = plan(state)
    living = {s.name for s in state.slots if s.alive}
    hot = {name for target in found.targets if target.slot in living for name in target.hot}
    assert set(found.misses) <= hot | {held.model for held in found.held}


@ANY
@given(snapshots())
def test_moves_are_exactly_the_difference_between_before_and_after(state: Snapshot) -> None:
    found = plan(state)
    before = {(s.name, name) for s in told(state).slots for name in s.assigned or ()}
    after = {(target.slot, name) for target in found.targets for name in target.hot}
    assert set(moves_of(found, Action.LOAD)) == after - before
    assert set(moves_of(found, Action.UNLOAD)) == before - after
    assert len(found.moves) == len(after ^ before)


@ANY
@given(snapshots())
def test_dead_slots_get_nothing_new(state: Snapshot) -> None:
    dead = {s.name for s in state.slots if not s.alive}
    assert not dead & {slot for slot, _ in moves_of(plan(state), Action.LOAD)}
