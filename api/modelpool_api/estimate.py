"""When a job will be done, said honestly: before anything has been measured the answer is "estimating".

Pure. Times in seconds unless a name says milliseconds. What is known of a model's pace comes from heartbeats and from
the jobs that this process has seen end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from modelpool.documents import REMOTE, CatalogModel, Heartbeat, Loading, Stat

State = Literal["hot", "loading", "warm", "cold", "failed"]
ESTIMATING = "estimating"


@dataclass(frozen=True, slots=True)
class Estimate:
    """``seconds`` until the result, None while unknown; ``text`` for people."""

    seconds: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How a model's jobs really ran, in seconds per expected GPU-second of work.

    ``alone`` is from claim to result of one job, ``shared`` is the slot's time that one job took of its batch.
    """

    alone: float = 1.0
    shared: float = 1.0

    def blend(self, ran: float, batch: int, work: float, weight: float = 0.2) -> Pace:
        """With one more finished job taken in."""
        alone, shared = ran / work, ran / batch / work
        return Pace(self.alone + weight * (alone - self.alone), self.shared + weight * (shared - self.shared))

    @staticmethod
    def first(ran: float, batch: int, work: float) -> Pace:
        """After the first finished job."""
        return Pace(ran / work, ran / batch / work)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the pool's slots can do for one model now."""

    state: State
    replicas: int
    cap: int
    load_seconds: float | None
    """Until the first slot holds the model; 0 when hot, None when nothing has been measured."""
    busy_seconds: float
    """Until a slot that holds it is free."""
    seconds_per_megapixel_step: float | None
    """Measured; None before that."""


def capacity(model: CatalogModel, heartbeats: Iterable[Heartbeat], now_ms: int) -> Capacity:
    """What ``heartbeats`` say about ``model``."""
    beats = list(heartbeats)
    hot = [beat for beat in beats if model.name in beat.hot and not beat.draining]
    loading = [(beat, beat.loading) for beat in beats if beat.loading is not None and beat.loading.model == model.name]
    warm = any(model.name in beat.warm for beat in beats)
    failed = any(model.name in beat.failed for beat in beats)
    measured = [beat.measured[model.name] for beat in beats if model.name in beat.measured]
    caps = [found.batch_cap for found in measured if found.batch_cap]
    pace = _mean(found.seconds_per_megapixel_step for found in measured)
    from_warm = _mean(found.warm_to_hot_seconds for found in measured)
    from_cold = _mean(found.cold_to_hot_seconds for found in measured)
    state: State
    if hot:
        state, load = "hot", 0.0
    elif loading:
        state = "loading"
        known = [_remaining(load, from_warm, from_cold, now_ms) for _, load in loading]
        load = min((seconds for seconds in known if seconds is not None), default=None)  # type: ignore[assignment]
    elif warm:
        state, load = "warm", from_warm  # type: ignore[assignment]
    else:
        state, load = ("failed" if failed else "cold"), from_cold  # type: ignore[assignment]
    return Capacity(
        state=state,
        replicas=len(hot),
        cap=min(caps) if caps else model.batch.max,
        load_seconds=load,
        busy_seconds=min((_busy(beat, now_ms) for beat in hot), default=0.0),
        seconds_per_megapixel_step=pace,
    )


def waiting(position: int, work: float, queued_work: float, queued: int, can: Capacity, pace: Pace | None) -> Estimate:
    """For a job that ``position`` jobs are in front of, of ``queued`` that wait with ``queued_work`` in all."""
    if can.state == "failed":
        return Estimate(None, "the model could not be loaded; it will be tried again")
    if can.load_seconds is None or pace is None:
        return Estimate(None, "model loading" if can.state == "loading" else ESTIMATING)
    each = queued_work / queued if queued else work
    in_front = position * each * pace.shared / max(1, can.replicas)
    # The rest of its own batch runs with it, up to the cap.
    company = min(can.cap, max(1, queued))
    own = max(work * pace.alone, company * each * pace.shared)
    seconds = can.load_seconds + (can.busy_seconds if position == 0 or can.state == "hot" else 0.0) + in_front + own
    if can.state == "hot":
        return Estimate(_rounded(seconds), f"about {_human(seconds)}")
    doing = "model loading" if can.state == "loading" else "model to be loaded"
    return Estimate(_rounded(seconds), f"{doing}, {_human(seconds)}")


def running(work: float, elapsed: float, progress: float | None, pace: Pace | None) -> Estimate:
    """For a job that has run for ``elapsed`` seconds and got as far as ``progress``."""
    if progress is not None and progress >= 0.1:
        seconds = elapsed * (1 - progress) / progress
    elif pace is not None:
        seconds = max(0.0, work * pace.alone - elapsed)
    else:
        return Estimate(None, ESTIMATING)
    return Estimate(_rounded(seconds), f"about {_human(seconds)}")


def pace_of(model: CatalogModel, can: Capacity, seen: Mapping[str, Pace]) -> Pace | None:
    """The pace from jobs seen, else from the heartbeats' measurement, else unknown."""
    if model.name in seen:
        return seen[model.name]
    return Pace() if can.seconds_per_megapixel_step is not None else None


def _remaining(load: Loading, from_warm: float | None, from_cold: float | None, now_ms: int) -> float | None:
    elapsed = max(0.0, (now_ms - load.since) / 1000)
    rest = elapsed * (1 - load.progress) / load.progress if load.progress >= 0.1 else None
    if load.origin == REMOTE:  # the load from disk is still to come
        return rest + from_cold if rest is not None and from_cold is not None else None
    usual = from_warm if load.origin == "warm" else from_cold
    if rest is None and usual is not None:
        return max(0.5, usual - elapsed)
    return rest


def _busy(beat: Heartbeat, now_ms: int) -> float:
    batch = beat.batch
    if batch is None or not batch.step:
        return 0.0
    return max(0.0, (now_ms - batch.since) / 1000) * (batch.steps - batch.step) / batch.step


def _mean(stats: Iterable[Stat | None]) -> float | None:
    known = [stat for stat in stats if stat is not None and stat.count > 0]
    count = sum(stat.count for stat in known)
    return sum(stat.mean * stat.count for stat in known) / count if count else None


def _rounded(seconds: float) -> float:
    """Tenths, and never nothing: a job that is not there yet is not there now."""
    return max(0.1, round(seconds, 1))


def _human(seconds: float) -> str:
    if seconds < 1:
        return "1 s"
    if seconds < 90:
        return f"{round(seconds)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
