"""What the sweeper removes and what it leaves."""

from __future__ import annotations

from modelpool.store.memory import MemoryStore
from modelpool.store.sweep import HOUR_MS, INPUT_LIFE_MS, RESULT_LIFE_MS, sweep


class Clock:
    def __init__(self) -> None:
        self.now = 1_000 * HOUR_MS

    def __call__(self) -> int:
        return self.now


async def keys(store: MemoryStore) -> set[str]:
    return {found.key for folder in ("results", "inputs") async for found in store.list(folder)}


async def test_results_live_for_a_day_and_inputs_a_little_longer() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    await store.put("results/old.png", b"1")
    await store.put("inputs/old.png", b"2")
    clock.now += RESULT_LIFE_MS
    await store.put("results/new.png", b"3")

    assert await sweep(store, clock.now - 1) == 0
    assert await sweep(store, clock.now) == 1
    assert await keys(store) == {"results/new.png", "inputs/old.png"}

    clock.now += INPUT_LIFE_MS - RESULT_LIFE_MS
    assert await sweep(store, clock.now) == 1
    assert await keys(store) == {"results/new.png"}


async def test_an_input_used_again_starts_a_new_life() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    await store.put("inputs/same.png", b"1")
    clock.now += INPUT_LIFE_MS
    await store.put("inputs/same.png", b"1")
    assert await sweep(store, clock.now) == 0
