"""What came of the plans: each figure against a round or two that are made up."""

import pytest
from prometheus_client import CollectorRegistry

from modelpool.metrics import OperatorMetrics
from modelpool.resources.spec import Rebalance
from modelpool_operator.demand.port import Demand
from modelpool_operator.measures import HORIZON_SECONDS, Measures
from modelpool_operator.planner import Action, ModelFacts, Move, Plan, Reason, SlotFacts, Snapshot

START = 1_000_000


class Round:
    """One pool with two slots, and what is counted of it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.measures = Measures(OperatorMetrics(self.registry), "studio")

    def pass_(
        self,
        seconds: float,
        hot: tuple[str, ...] = (),
        *,
        alive: bool = True,
        queued: int = 0,
        rate: float = 0.0,
        told: tuple[Move, ...] = (),
        misses: tuple[str, ...] = (),
        demand: Demand | None = None,
    ) -> None:
        """A round so many seconds after the start, in which a slot holds ``hot`` since then."""
        now = START + int(seconds * 1000)
        slot = SlotFacts("studio-a-0", "a", 1, 1, alive=alive, hot=hot, hot_since=dict.fromkeys(hot, START))
        other = SlotFacts("studio-a-1", "a", 1, 1)
        models = tuple(
            ModelFacts(name, "a", 1, 1, 1.0, 1.0, 1.0, queued=queued if name == "neon" else 0, rate=rate)
            for name in ("flat", "neon")
        )
        snapshot = Snapshot(now, (), (slot, other), models, Rebalance())
        for move in told:
            self.measures.told(move, snapshot)
        self.measures.note(snapshot, Plan((), misses=misses), demand or Demand())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"modelpool_{name}", {"pool": "studio", **labels})


def load(model: str = "neon") -> Move:
    return Move("studio-a-0", model, Action.LOAD, Reason.DEMAND_MISS, "asked for")


def unload(model: str = "flat") -> Move:
    return Move("studio-a-0", model, Action.UNLOAD, Reason.MAKE_ROOM, "in the way")


def test_a_load_is_done_when_the_worker_reports_the_model_as_hot() -> None:
    pool = Round()
    pool.pass_(0, told=(load(),))
    pool.pass_(4)
    assert pool.value("moves_total", reason="DemandMiss") == 1
    assert pool.value("moves_done_total", reason="DemandMiss") is None
    pool.pass_(7, ("neon",))
    pool.pass_(9, ("neon",))
    assert pool.value("moves_done_total", reason="DemandMiss") == 1
    assert pool.value("move_seconds_sum", action="load") == pytest.approx(7)


def test_an_unload_is_done_when_the_model_is_gone_and_tells_how_old_it_was() -> None:
    pool = Round()
    pool.pass_(60, ("flat",), told=(unload(),))
    pool.pass_(61, ())
    assert pool.value("age_at_eviction_seconds_sum", reason="MakeRoom") == pytest.approx(60)
    assert pool.value("moves_done_total", reason="MakeRoom") == 1
    assert pool.value("move_seconds_sum", action="unload") == pytest.approx(1)


def test_a_move_whose_worker_has_died_is_never_done() -> None:
    pool = Round()
    pool.pass_(0, ("flat",), told=(unload(), load()))
    pool.pass_(1, alive=False)
    pool.pass_(20, ("neon",))
    assert pool.value("moves_done_total", reason="DemandMiss") is None
    assert pool.value("moves_done_total", reason="MakeRoom") is None


def test_jobs_wait_behind_a_load_only_while_their_model_is_hot_nowhere() -> None:
    pool = Round()
    pool.pass_(0, queued=3)
    pool.pass_(2, queued=3)
    pool.pass_(3, queued=5)
    pool.pass_(4, ("neon",), queued=5)
    assert pool.value("wait_behind_loads_seconds_total", model="neon") == pytest.approx(3 * 2 + 5 * 1)
    assert pool.value("wait_behind_loads_seconds_total", model="flat") is None


def test_a_time_in_which_nobody_looked_is_not_guessed_at() -> None:
    pool = Round()
    pool.pass_(0, queued=1)
    pool.pass_(3600, queued=1)
    assert pool.value("wait_behind_loads_seconds_total", model="neon") == pytest.approx(10)


def test_a_miss_counts_once_however_many_rounds_see_it() -> None:
    pool = Round()
    for second, misses in enumerate([("neon",), ("neon",), (), ("neon", "flat")]):
        pool.pass_(second, misses=misses)
    assert pool.value("demand_misses_total", model="neon") == 2
    assert pool.value("demand_misses_total", model="flat") == 1


def test_a_forecast_is_compared_with_what_its_horizon_brought() -> None:
    pool = Round()
    known = Demand(last_jobs={"neon": 30.0, "flat": 0.0}, source="a test")
    pool.pass_(0, rate=0.1, demand=known)
    pool.pass_(HORIZON_SECONDS - 1, rate=5.0, demand=known)
    assert pool.value("forecast_error", model="neon") is None
    pool.pass_(HORIZON_SECONDS, rate=5.0, demand=known)
    assert pool.value("forecast_error", model="neon") == pytest.approx(0)
    assert pool.value("forecast_error", model="flat") == pytest.approx(30)


def test_without_figures_no_forecast_is_judged() -> None:
    pool = Round()
    pool.pass_(0, rate=1.0)
    pool.pass_(2 * HORIZON_SECONDS, rate=1.0)
    assert pool.value("forecast_error", model="neon") is None


def test_nothing_is_left_of_a_pool_that_is_gone_and_others_keep_their_figures() -> None:
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    for pool in ("art/studio", "music/studio"):
        metrics.moves.labels(pool, "Fill").inc()
        metrics.forecast_error.labels(pool, "sdxl").set(3)
        metrics.reconcile.labels(pool).observe(1)
    metrics.forget("art/studio")
    left = {sample.labels["pool"] for family in registry.collect() for sample in family.samples}
    assert left == {"music/studio"}
    assert registry.get_sample_value("modelpool_forecast_error", {"pool": "music/studio", "model": "sdxl"}) == 3
