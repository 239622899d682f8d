"""Demand as Prometheus has seen it: two queries for all pools together, asked in the background.

Counts come from ``increase`` per series, so that a restarted API is no burst. A reconciler never waits for Prometheus: it
reads the last answer, and hears of it when there is none that is fresh.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from modelpool.errors import Unavailable
from modelpool.resources.pool import PoolRef
from modelpool_operator.demand.port import LAST_MINUTES, Demand
from modelpool_operator.planner.forecast import BUCKET_SECONDS, recent_rate

log = logging.getLogger(__name__)

TICK_SECONDS = 15.0
ANSWER_SECONDS = 10.0
FIRST_SECONDS = 2.0
"""How long a start waits for Prometheus; after that, the stand-in goes first."""
FRESH_MS = 60_000
"""An answer that is older than this is none."""
SILENT_SECONDS = 300.0
"""A pool without any sample for so long is not scraped."""
SPREAD_MINUTES = 2
"""Each minute's count is the mean of so many: a series needs two samples, and is scraped once a minute at the least."""
DAY_SECONDS = 86_400
LONG_STEP_SECONDS = 900
LONG_REFRESH_MS = 600_000

_ASKED = 'modelpool_requests_total{outcome=~"queued|shed"}'
_RECENT = f"sum by (pool, model) (increase({_ASKED}[{SPREAD_MINUTES}m])) / {SPREAD_MINUTES}"
_LONG = f"sum by (pool, model) (increase({_ASKED}[{LONG_STEP_SECONDS}s]))"

Series = Mapping[tuple[str, str], Sequence[tuple[float, float]]]
"""By pool and model: Unix seconds and value, oldest first."""


class DemandUnavailable(Unavailable):
    """Prometheus does not answer, or knows nothing of a pool."""

    code = "demand_unavailable"


@dataclass(frozen=True, slots=True)
class _Answer:
    at: int
    """When it was asked for, Unix milliseconds."""
    recent: Series = field(default_factory=dict)
    long: Series = field(default_factory=dict)


class Prometheus:
    """Asks for ever while :meth:`run` runs. ``now`` gives Unix milliseconds.

    ``http`` has the server's base URL; it is closed by whoever opened it.
    """

    def __init__(self, http: httpx.AsyncClient, now: Callable[[], int]) -> None:
        self._http = http
        self._now = now
        self._answer: _Answer | None = None
        self._long: tuple[int, Series] | None = None
        self._problem = "Prometheus has not been asked yet"
        self._windows: dict[PoolRef, int] = {}
        self._asked = asyncio.Event()
        self._where = str(http.base_url.copy_with(userinfo=b""))

    def of(self, pool: PoolRef) -> PoolDemand:
        """The source of one pool's figures."""
        return PoolDemand(self, pool)

    async def run(self) -> None:
        """Ask again and again, for ever."""
        while True:
            await self.ask()
            self._asked.set()
            await asyncio.sleep(TICK_SECONDS)

    async def first_answer(self) -> None:
        """Return when it has been asked once, with or without success, or soon."""
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self._asked.wait()
        except TimeoutError:
            log.debug("Prometheus takes its time")

    async def ask(self) -> None:
        """Ask once, for all pools; never fails."""
        now = self._now()
        window = min(DAY_SECONDS, max(self._windows.values(), default=3600))
        window = max(window, LAST_MINUTES * int(BUCKET_SECONDS))
        try:
            recent = await self._range(_RECENT, now / 1000, window, int(BUCKET_SECONDS))
            if self._long is None or now - self._long[0] >= LONG_REFRESH_MS:
                self._long = (now, await self._range(_LONG, now / 1000, DAY_SECONDS, LONG_STEP_SECONDS))
        except DemandUnavailable as error:
            if self._problem != error.message:
                log.warning("demand is not known from Prometheus", extra={"reason": error.message})
            self._problem = error.message
            return
        if self._problem and self._answer is not None:
            log.info("Prometheus answers again")
        self._answer, self._problem = _Answer(now, recent, self._long[1]), ""

    def demand(self, pool: PoolRef, now: int, window_seconds: int) -> Demand:
        """One pool's figures, from the last answer.

        :raises DemandUnavailable: there is no fresh one, or it says nothing about the pool.
        """
        self._windows[pool] = window_seconds
        answer = self._answer
        if answer is None or now - answer.at > FRESH_MS:
            raise DemandUnavailable(self._problem or "Prometheus has not answered for a minute")
        minutes = max(1, min(DAY_SECONDS, window_seconds) // int(BUCKET_SECONDS))
        recent = {model: points for (name, model), points in answer.recent.items() if name == str(pool)}
        newest = max((points[-1][0] for points in recent.values() if points), default=0.0)
        if answer.at / 1000 - newest > SILENT_SECONDS:
            raise DemandUnavailable(
                f"Prometheus has no modelpool_requests_total of pool {pool}; let it scrape the API, every 60 s at the least"
            )
        long = {model: points for (name, model), points in answer.long.items() if name == str(pool)}
        asked = [last for points in (recent, long) for last in map(_last_asked, points.items()) if last is not None]
        return Demand(
            recent={
                model: recent_rate(_buckets(points, answer.at / 1000, int(BUCKET_SECONDS), minutes), window_seconds)
                for model, points in recent.items()
            },
            last_jobs={
                model: sum(_buckets(points, answer.at / 1000, int(BUCKET_SECONDS), LAST_MINUTES))
                for model, points in recent.items()
            },
            long_term={model: _long_rate(points) for model, points in long.items()},
            asked_at={model: max(at for name, at in asked if name == model) for model, _ in asked},
            source="Prometheus",
        )

    def forget(self, pool: PoolRef) -> None:
        """A pool that is gone has no window."""
        self._windows.pop(pool, None)

    async def _range(self, query: str, end: float, seconds: int, step: int) -> Series:
        form = {"query": query, "start": f"{end - seconds + step:.3f}", "end": f"{end:.3f}", "step": str(step)}
        try:
            answer = await self._http.post("/api/v1/query_range", data=form, timeout=ANSWER_SECONDS)
            document = answer.json()
            if not answer.is_success or document["status"] != "success":
                raise DemandUnavailable(f"Prometheus refuses the question: {document.get('error', answer.status_code)}")
            return _series(document["data"]["result"])
        except httpx.HTTPError as error:
            raise DemandUnavailable(
                f"Prometheus at {self._where} cannot be reached: {str(error) or 'no answer'}"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DemandUnavailable(f"what answers at {self._where} is no Prometheus") from error


class PoolDemand:
    """See :class:`modelpool_operator.demand.port.DemandSource`."""

    def __init__(self, prometheus: Prometheus, pool: PoolRef) -> None:
        self._prometheus = prometheus
        self._pool = pool

    async def read(self, now: int, window_seconds: int) -> Demand:
        """See the protocol."""
        return self._prometheus.demand(self._pool, now, window_seconds)


def _series(result: Sequence[Any]) -> Series:
    found: dict[tuple[str, str], Sequence[tuple[float, float]]] = {}
    for one in result:
        labels = one["metric"]
        if "pool" in labels and "model" in labels:
            points = [(float(at), float(value)) for at, value in one["values"]]
            found[labels["pool"], labels["model"]] = points
    return found


def _buckets(points: Sequence[tuple[float, float]], end: float, step: int, count: int) -> list[float]:
    """The last ``count`` values, oldest first; 0 where there is none."""
    buckets = [0.0] * count
    for at, value in points:
        age = round((end - at) / step)
        if 0 <= age < count:
            buckets[count - 1 - age] = value
    return buckets


def _long_rate(points: Sequence[tuple[float, float]]) -> float:
    """Mean rate since somebody first asked: a pool that is an hour old has no day to look back on."""
    first = next((index for index, (_, count) in enumerate(points) if count > 0), None)
    if first is None:
        return 0.0
    seconds = points[-1][0] - points[first][0] + LONG_STEP_SECONDS
    return sum(count for _, count in points[first:]) / seconds


def _last_asked(named: tuple[str, Sequence[tuple[float, float]]]) -> tuple[str, int] | None:
    model, points = named
    return next(((model, int(at * 1000)) for at, count in reversed(points) if count > 0), None)
