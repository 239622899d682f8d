"""From records and snapshots to what clients read. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from modelpool.documents import CatalogModel
from modelpool.jobs import JobEvent, JobRecord, JobState
from modelpool.store.sweep import RESULT_LIFE_MS
from modelpool.work import expected_work
from modelpool_api import estimate
from modelpool_api.pools import Pool
from modelpool_api.requests import resolve
from modelpool_api.schemas import (
    DurationsView,
    ErrorView,
    Eta,
    JobBody,
    JobView,
    Links,
    ModelView,
    ResultView,
    StyleView,
)


def job_view(
    record: JobRecord,
    pool: Pool,
    now_ms: int,
    *,
    root: str = "",
    position: int | None = None,
    hint: JobEvent | None = None,
) -> JobView:
    """The job as its owner sees it. ``hint`` is the latest progress of a running attempt."""
    base = f"{root}/v1/jobs/{record.id}"
    final = record.state.is_final
    request = record.request
    return JobView(
        id=record.id,
        state=record.state,
        pool=record.pool,
        model=record.model,
        task=request.task,
        lane=record.lane,
        seq=record.seq,
        position=None if final else position,
        eta=None if final else _eta(record, pool, now_ms, position, hint),
        progress=_progress(record, hint),
        preview=hint.preview if hint is not None and not final else None,
        created_at=rfc3339(record.enqueued_at),
        started_at=_maybe(record.started_at),
        finished_at=_maybe(record.finished_at),
        result=_result(record, root),
        durations=_durations(record),
        cached=record.cached,
        batch_size=record.result.batch_size if record.result is not None and not record.cached else None,
        attempts=record.attempts,
        error=ErrorView(code=record.error.code, message=record.error.message) if record.error is not None else None,
        links=Links(self_=base, events=f"{base}/events", ws=f"{base}/ws", cancel=None if final else base),
    )


def model_view(model: CatalogModel, pool: Pool, now_ms: int) -> ModelView:
    """A model with its state now, and the wait of a job with the defaults."""
    can = pool.capacity(model)
    depth = pool.snapshot.depths.get(model.name)
    queued = depth.queued if depth is not None else 0
    queued_work = depth.queued_work if depth is not None else 0.0
    asks_image = all(task.wants_image for task in model.tasks)
    usual = resolve(JobBody(model=model.name, prompt="-"), model, seed=0, has_image=asks_image)
    work = expected_work(usual, can.seconds_per_megapixel_step or model.seconds_per_megapixel_step)
    eta = estimate.waiting(queued, work, queued_work, queued, can, pool.pace(model, can))
    return ModelView(
        id=model.name,
        created=pool.snapshot.catalog.updated_at // 1000,
        owned_by=str(pool.ref),
        pool=str(pool.ref),
        tier=model.tier,
        policy=model.policy,
        state=can.state,
        replicas=can.replicas,
        tasks=model.tasks,
        defaults=model.defaults,
        limits=model.limits,
        styles=tuple(StyleView(name=style.name) for style in model.styles),
        quota_units=model.quota_units,
        queued=queued,
        eta=Eta(seconds=eta.seconds, text=eta.text),
    )


def rfc3339(ms: int) -> str:
    """Unix milliseconds as ``2026-01-31T12:00:00.000Z``."""
    return f"{_second(ms // 1000)}.{ms % 1000:03}Z"


@lru_cache(64)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _maybe(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _progress(record: JobRecord, hint: JobEvent | None) -> float | None:
    if record.state is JobState.SUCCEEDED:
        return 1.0
    if record.state.is_final or hint is None or hint.progress is None:
        return None
    return min(1.0, max(0.0, hint.progress))


def _eta(record: JobRecord, pool: Pool, now_ms: int, position: int | None, hint: JobEvent | None) -> Eta | None:
    model = pool.snapshot.catalog.model(record.model)
    if model is None:
        return Eta(text="the pool does not offer this model any more")
    can = pool.capacity(model)
    pace = pool.pace(model, can)
    if record.state is JobState.RUNNING:
        elapsed = max(0, now_ms - (record.started_at or now_ms)) / 1000
        found = estimate.running(record.work, elapsed, hint.progress if hint is not None else None, pace)
    else:
        depth = pool.snapshot.depths.get(record.model)
        queued, queued_work = (depth.queued, depth.queued_work) if depth is not None else (0, 0.0)
        found = estimate.waiting(position or 0, record.work, queued_work, queued, can, pace)
    return Eta(seconds=found.seconds, text=found.text)


def _result(record: JobRecord, root: str) -> ResultView | None:
    result = record.result
    if result is None:
        return None
    stored_at = result.stored_at or record.finished_at or record.enqueued_at
    return ResultView(
        url=f"{root}/v1/{result.key}",
        content_type=result.content_type,
        width=result.width,
        height=result.height,
        seed=result.seed,
        size=result.size,
        frames=result.frames if result.frames > 1 else None,
        expires_at=rfc3339(stored_at + RESULT_LIFE_MS),
    )


def _durations(record: JobRecord) -> DurationsView | None:
    if record.result is None or record.finished_at is None:
        return None
    if record.cached:
        return DurationsView(waited=record.finished_at - record.enqueued_at, loaded=0, ran=0, computed=0)
    found = record.result.durations
    return DurationsView(waited=found.waited, loaded=found.loaded, ran=found.ran, computed=found.computed)
