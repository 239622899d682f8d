"""How long one plan takes: the studio's 7 slots × 5 models, and 1,000 slots × 200 models.

    PYTHONPATH=tests python tests/bench/planner.py

CPU time of the planning thread, so that what else the machine does counts little. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time

from modelpool.resources.spec import Policy
from modelpool_operator.planner import Snapshot, plan
from support.snapshots import NOW, model, slot, snapshot

TIERS = {f"tier-{i}": policy for i, policy in enumerate([Policy.ALWAYS, *[Policy.ROTATE] * 6, Policy.ON_DEMAND])}


def studio() -> Snapshot:
    """Four primary slots, two that rotate, one for video; a job waits for a model that is hot nowhere."""
    slots = [slot(f"primary-{i}", "primary", holds=["flat"]) for i in range(4)]
    slots += [slot(f"secondary-{i}", "secondary", holds=[name]) for i, name in enumerate(["outline", "neon"])]
    slots.append(slot("video-0", "video"))
    models = [
        model("flat", "primary"),
        model("outline", "secondary", 14),
        model("neon", "secondary", 14),
        model("mosaic", "secondary", 14, queued=1),
        model("motion", "video"),
    ]
    policies = {"primary": Policy.ALWAYS, "secondary": Policy.ROTATE, "video": Policy.ON_DEMAND}
    return snapshot(slots, models, policies, lend=["video"])


def large(busy: float, loads: int, chance: random.Random) -> Snapshot:
    """Eight tiers of 125 slots and up to 28 models, two models on each slot, queues for half of the models."""
    models, slots = [], []
    for tier, policy in TIERS.items():
        names = [f"{tier}-{i}" for i in range(2 if policy is Policy.ALWAYS else 28)]
        for name in names:
            facts = {
                "queued": chance.choice([0, 0, 3, 20]),
                "running": chance.choice([0, 1]),
                "rate": chance.random() * 0.05,
                "long_rate": chance.random() * 0.02,
                "used_at": NOW - chance.randint(0, 1_000_000),
            }
            models.append(model(name, tier, chance.choice([4, 7, 10]), cold_load=22.0, **facts))
        for i in range(125):
            # A third of the models of each tier is hot nowhere.
            held = names if policy is Policy.ALWAYS else chance.sample(names[: len(names) * 2 // 3], 2)
            batch = chance.choice(held) if chance.random() < busy else None
            since = {name: NOW - chance.randint(0, 100_000) for name in held}
            slots.append(slot(f"{tier}-slot-{i}", tier, 24, 16, holds=held, batch=batch, hot_since=since))
    return snapshot(slots, models, TIERS, max_concurrent_loads=loads, lend=["tier-7"])


def milliseconds(state: Snapshot, rounds: int) -> float:
    """Median CPU time of one plan."""
    took = []
    for _ in range(rounds):
        began = time.thread_time()
        plan(state)
        took.append((time.thread_time() - began) * 1000)
    return statistics.median(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    small = milliseconds(studio(), rounds * 10)
    print(f"7 slots × 5 models, a miss: {small:.2f} ms")
    worst = 0.0
    for busy in (0.0, 0.7, 1.0):
        for loads in (2, 100):
            state = large(busy, loads, random.Random(1))
            took = milliseconds(state, rounds)
            worst = max(worst, took)
            found = plan(state)
            print(
                f"1,000 slots × {len(state.models)} models, {busy:.0%} busy, {loads} loads at a time: {took:.1f} ms,"
                f" {len(found.misses)} misses, {len(found.moves)} moves, {len(found.held)} held"
            )
    print(json.dumps({"plan_ms_7x5": round(small, 3), "plan_ms_1000x200": round(worst, 1)}))


if __name__ == "__main__":
    main()
