"""How many jobs of a model to run at once. Pure.

``t(b) = max(t₁, a + c·b)`` is fitted to measured batches; the cap is where one more job gains less than
:data:`LEAST_GAIN` of throughput. Until two batch sizes have been seen it is what the spec says. Memory
limits it further, by the pixels of the jobs (:mod:`modelpool_worker.room`). Whoever claims does not know yet what size
the jobs will have: the claim goes by the usual profile, and a batch of another one is run in parts where it must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelpool.jobs import JobRequest
from modelpool.work import steps_run
from modelpool_worker.measuring import Running
from modelpool_worker.room import Room

LEAST_GAIN = 0.05
SAMPLES_NEEDED = 3
"""Batches of one size before its time counts: the first ones are slower than the rest."""
PROBE_EVERY = 32
"""Every so many batches the spec's cap is offered again, or a cap once lowered would never be measured anew."""

MOST_PROFILES = 16
"""Of one model; users choose sizes, and a worker lives long."""


@dataclass(frozen=True, slots=True)
class BatchTime:
    """Seconds of a batch of b: ``max(least, fixed + each·b)``."""

    least: float
    fixed: float
    each: float

    def seconds(self, size: int) -> float:
        """Of one batch."""
        return max(self.least, self.fixed + self.each * size)


def fit(seconds_by_size: Mapping[int, float]) -> BatchTime | None:
    """Least squares through the measured means; None when fewer than two sizes are known."""
    if len(seconds_by_size) < 2:
        return None
    sizes, times = list(seconds_by_size), list(seconds_by_size.values())
    mean_size, mean_time = sum(sizes) / len(sizes), sum(times) / len(times)
    spread = sum((size - mean_size) ** 2 for size in sizes)
    slope = sum((size - mean_size) * (time - mean_time) for size, time in seconds_by_size.items()) / spread
    each = max(0.0, slope)
    fixed = max(0.0, mean_time - each * mean_size)
    return BatchTime(least=seconds_by_size.get(1, 0.0), fixed=fixed, each=each)


def worthwhile(time: BatchTime, most: int) -> int:
    """The largest batch up to ``most`` at which the last job added still gained :data:`LEAST_GAIN` throughput."""
    size = 1
    while size < most:
        gain = (size + 1) / size * time.seconds(size) / time.seconds(size + 1) if time.seconds(size + 1) > 0 else 2.0
        if gain < 1 + LEAST_GAIN:
            break
        size += 1
    return size


@dataclass(frozen=True, slots=True)
class Profile:
    """What decides how long jobs take and what memory they need. ``steps`` are those that are really made."""

    width: int
    height: int
    frames: int
    steps: int
    guided: bool = False
    """Every step looks at each picture twice, with the prompt and without."""

    @classmethod
    def of(cls, request: JobRequest) -> Profile:
        """Of one job."""
        return cls(request.width, request.height, request.frames, steps_run(request), request.guidance > 1)

    @property
    def pixels(self) -> int:
        """That go through the model at a time for one job: of all frames, twice with guidance."""
        return self.width * self.height * self.frames * (1 + self.guided)


class BatchSizes:
    """What one model has shown so far. ``most`` is the spec's ``batch.max``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = Room()
        self._times: dict[Profile, dict[int, Running]] = {}
        self._seen: dict[Profile, int] = {}
        self._batches = 0

    def set_most(self, most: int) -> None:
        """The spec has changed."""
        self._most = most

    def ran(self, profile: Profile, size: int, seconds: float) -> None:
        """A batch of ``size`` jobs of one profile took so long."""
        self._batches += 1
        self._room.fitted(profile.pixels, size, self._most)
        if profile not in self._seen and len(self._seen) >= MOST_PROFILES:
            rarest = min(self._seen, key=lambda known: self._seen[known])
            del self._seen[rarest], self._times[rarest]
        self._seen[profile] = self._seen.get(profile, 0) + 1
        self._times.setdefault(profile, {}).setdefault(size, Running()).add(seconds)

    def ran_out_of_memory(self, profile: Profile, size: int) -> None:
        """A batch of ``size`` did not fit; from now on half of it is what fits, for jobs of at least so many pixels."""
        self._room.ran_out(profile.pixels, size)

    def fitting(self, profile: Profile) -> int:
        """The most jobs of this profile in one pass."""
        return min(self._most, self._room.most(profile.pixels) or self._most)

    @property
    def profiles(self) -> int:
        """How many profiles are remembered."""
        return len(self._seen)

    @property
    def measured_cap(self) -> int:
        """The cap that memory and times of the usual profile justify."""
        time = self._usual_time()
        return self._fitting_usual() if time is None else worthwhile(time, self._fitting_usual())

    def cap(self) -> int:
        """The most jobs to claim next."""
        if self._batches % PROBE_EVERY == PROBE_EVERY - 1:
            return self._fitting_usual()
        return self.measured_cap

    def _usual(self) -> Profile | None:
        return max(self._seen, key=lambda profile: self._seen[profile], default=None)

    def _fitting_usual(self) -> int:
        usual = self._usual()
        return self._most if usual is None else self.fitting(usual)

    def _usual_time(self) -> BatchTime | None:
        usual = self._usual()
        if usual is None:
            return None
        known = {
            size: running.mean
            for size, running in self._times[usual].items()
            if running.count >= SAMPLES_NEEDED and running.mean is not None
        }
        return fit(known)
