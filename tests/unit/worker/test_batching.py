from __future__ import annotations

import pytest

from modelpool_worker.batching import (
    LEAST_GAIN,
    MOST_PROFILES,
    PROBE_EVERY,
    SAMPLES_NEEDED,
    BatchSizes,
    BatchTime,
    Profile,
    fit,
    worthwhile,
)
from modelpool_worker.room import PROBE_AFTER
from support.queues import new_job

USUAL = Profile(64, 64, 1, 4)
LARGE = Profile(1024, 1024, 1, 4)
LARGER = Profile(1024, 1024, 2, 4)


def sizes_with(times: dict[int, float], most: int = 16) -> BatchSizes:
    sizes = BatchSizes(most)
    for size, seconds in times.items():
        for _ in range(SAMPLES_NEEDED):
            sizes.ran(USUAL, size, seconds)
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
    sizes.ran(USUAL, 2, 2.0)
    assert sizes.cap() == 6


def test_measured_times_lower_the_cap() -> None:
    assert sizes_with({1: 1.0, 2: 2.0, 4: 4.0}, most=6).cap() == 1


def test_the_usual_profile_decides() -> None:
    sizes = sizes_with({1: 1.0, 2: 2.0}, most=6)
    for _ in range(SAMPLES_NEEDED * 3):
        sizes.ran(Profile(128, 64, 1, 4), 6, 1.0)
        sizes.ran(Profile(128, 64, 1, 4), 1, 1.0)
    assert sizes.measured_cap == 6


def test_a_lowered_cap_is_probed_now_and_then() -> None:
    sizes = sizes_with({1: 1.0, 2: 2.0}, most=6)
    caps = []
    for _ in range(PROBE_EVERY):
        caps.append(sizes.cap())
        sizes.ran(USUAL, 1, 1.0)
    assert sorted(set(caps)) == [1, 6]
    assert caps.count(6) == 1


def test_what_ran_out_of_memory_is_halved() -> None:
    sizes = BatchSizes(8)
    sizes.ran(USUAL, 1, 1.0)
    for size, left in ((8, 4), (4, 2), (8, 2)):
        sizes.ran_out_of_memory(USUAL, size)
        assert sizes.fitting(USUAL) == sizes.cap() == left


def test_memory_that_ran_out_at_one_size_tells_about_larger_ones_alone() -> None:
    sizes = BatchSizes(16)
    sizes.ran(USUAL, 1, 1.0)
    for size in (8, 4, 2):
        sizes.ran_out_of_memory(LARGE, size)
    assert (sizes.fitting(USUAL), sizes.fitting(LARGE), sizes.fitting(LARGER)) == (16, 1, 1)
    assert sizes.cap() == sizes.measured_cap == 16


def test_steps_need_no_memory() -> None:
    sizes = BatchSizes(16)
    sizes.ran_out_of_memory(LARGE, 8)
    assert sizes.fitting(Profile(LARGE.width, LARGE.height, LARGE.frames, 99)) == 4


def test_memory_is_probed_again_after_many_batches_that_filled_it_and_no_earlier() -> None:
    sizes = BatchSizes(16)
    sizes.ran_out_of_memory(LARGE, 8)
    for _ in range(PROBE_AFTER):
        sizes.ran(USUAL, 16, 1.0)
        sizes.ran(LARGE, 3, 1.0)
    assert sizes.fitting(LARGE) == 4, "smaller jobs and smaller batches show nothing"
    for _ in range(PROBE_AFTER - 1):
        sizes.ran(LARGE, 4, 1.0)
    assert sizes.fitting(LARGE) == 4
    sizes.ran(LARGE, 4, 1.0)
    assert sizes.fitting(LARGE) == 8
    sizes.ran_out_of_memory(LARGE, 8)
    assert sizes.fitting(LARGE) == 4


def test_one_job_is_always_tried() -> None:
    sizes = BatchSizes(8)
    sizes.ran_out_of_memory(USUAL, 1)
    assert sizes.fitting(USUAL) == 1


def test_a_new_limit_in_the_spec_holds_at_once() -> None:
    sizes = BatchSizes(8)
    sizes.set_most(3)
    assert sizes.cap() == 3


def test_sizes_that_users_invent_do_not_grow_the_memory() -> None:
    sizes = sizes_with({1: 1.0, 2: 2.0}, most=6)
    for width in range(10 * MOST_PROFILES):
        sizes.ran(Profile(64 + width, 64, 1, 4), 1, 1.0)
    assert sizes.profiles <= MOST_PROFILES
    assert sizes.measured_cap == 1, "the usual profile is kept"


def test_guidance_doubles_what_goes_through_the_model_at_a_time() -> None:
    request = new_job().request
    plain, guided = (Profile.of(request.model_copy(update={"guidance": scale})) for scale in (1.0, 3.0))
    assert guided.pixels == 2 * plain.pixels
    assert guided != plain, "their times are not those of the others"
