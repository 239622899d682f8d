from __future__ import annotations

import pytest

from modelpool_worker.batching import (
    LEAST_GAIN,
    MOST_PROFILES,
    PROBE_EVERY,
    SAMPLES_NEEDED,
    BatchSizes,
    BatchTime,
    fit,
    worthwhile,
)


def sizes_with(times: dict[int, float], most: int = 16) -> BatchSizes:
    sizes = BatchSizes(most)
    for size, seconds in times.items():
        for _ in range(SAMPLES_NEEDED):
            sizes.ran("usual", size, seconds)
    return sizes


def test_one_size_says_nothing_about_others() -> None:
    assert fit({4: 1.0}) is None


def test_the_fit_finds_fixed_and_marginal_cost() -> None:
    time = fit({1: 1.2, 2: 1.4, 4: 1.8})
    assert time is not None
    assert time.fixed == pytest.approx(1.0)
    assert time.each == pytest.approx(0.2)
    assert time.seconds(8) == pytest.approx(2.6)


def test_noise_never_makes_a_job_cost_less_than_nothing() -> None:
    time = fit({1: 2.0, 2: 1.0})
    assert time is not None
    assert time.each == 0


def test_batches_grow_while_one_more_job_gains_enough() -> None:
    size = worthwhile(BatchTime(least=0, fixed=1.0, each=0.2), 64)
    throughput = [n / BatchTime(0, 1.0, 0.2).seconds(n) for n in (size - 1, size, size + 1)]
    assert throughput[1] / throughput[0] >= 1 + LEAST_GAIN
    assert throughput[2] / throughput[1] < 1 + LEAST_GAIN


def test_a_device_that_is_full_with_one_job_runs_jobs_alone() -> None:
    assert worthwhile(BatchTime(least=1.0, fixed=0.0, each=1.0), 8) == 1


def test_batches_that_cost_nothing_more_go_up_to_the_limit() -> None:
    assert worthwhile(BatchTime(least=1.0, fixed=1.0, each=0.0), 8) == 8


def test_the_spec_rules_until_two_sizes_were_measured() -> None:
    assert sizes_with({1: 1.0}, most=6).cap() == 6


def test_a_size_counts_only_after_several_batches() -> None:
    sizes = sizes_with({1: 1.0}, most=6)
    sizes.ran("usual", 2, 2.0)
    assert sizes.cap() == 6


def test_measured_times_lower_the_cap() -> None:
    assert sizes_with({1: 1.0, 2: 2.0, 4: 4.0}, most=6).cap() == 1


def test_the_usual_profile_decides() -> None:
    sizes = sizes_with({1: 1.0, 2: 2.0}, most=6)
    for _ in range(SAMPLES_NEEDED * 3):
        sizes.ran("more usual", 6, 1.0)
        sizes.ran("more usual", 1, 1.0)
    assert sizes.measured_cap == 6


def test_a_lowered_cap_is_probed_now_and_then() -> None:
    sizes = sizes_with({1: 1.0, 2: 2.0}, most=6)
    caps = []
    for _ in range(PROBE_EVERY):
        caps.append(sizes.cap())
        sizes.ran("usual", 1, 1.0)
    assert sorted(set(caps)) == [1, 6]
    assert caps.count(6) == 1


def test_memory_that_ran_out_is_never_asked_for_again() -> None:
    sizes = BatchSizes(8)
    sizes.ran_out_of_memory(8)
    assert sizes.cap() == 4
    sizes.ran_out_of_memory(4)
    assert sizes.cap() == 2
    sizes.ran_out_of_memory(8)
    assert sizes.cap() == 2


def test_one_job_is_always_tried() -> None:
    sizes = BatchSizes(8)
    sizes.ran_out_of_memory(1)
    assert sizes.cap() == 1


def test_a_new_limit_in_the_spec_holds_at_once() -> None:
    sizes = BatchSizes(8)
    sizes.set_most(3)
    assert sizes.cap() == 3


def test_sizes_that_users_invent_do_not_grow_the_memory() -> None:
    sizes = sizes_with({1: 1.0, 2: 2.0}, most=6)
    for width in range(10 * MOST_PROFILES):
        sizes.ran((width, 64), 1, 1.0)
    assert sizes.profiles <= MOST_PROFILES
    assert sizes.measured_cap == 1, "the usual profile is kept"
