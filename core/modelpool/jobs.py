"""What a job is: its request, the two keys that decide whom it shares a batch with, its states and its record.

Pure: no clock, no randomness, no IO. A *shape key* says whose tensors may share a forward pass; a *parameter key* says
what a stock pipeline takes once per call. A *digest* says whose results are interchangeable.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from modelpool.resources.models import Task

OutputFormat = Literal["png", "webp", "jpeg", "mp4"]
CONTENT_TYPES: dict[str, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "mp4": "video/mp4",
}
"""Content type by output format, which is also the file extension."""

MAX_ATTEMPTS = 3
"""Solo failures after which a job has failed for good."""


class Lane(StrEnum):
    """Who is served first: paid before the rest, always; the rest share by weight."""

    PAID = "paid"
    ACCOUNT = "account"
    ANONYMOUS = "anonymous"


LANE_WEIGHT: dict[Lane, int] = {Lane.PAID: 1, Lane.ACCOUNT: 2, Lane.ANONYMOUS: 1}
"""Share of a lane's user in fair queueing; ``paid`` is strict, so its weight only orders paid users."""


class JobState(StrEnum):
    """States of contracts: the last four are final and never change."""

    QUEUED = "queued"
    FOLLOWING = "following"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class Document(BaseModel):
    """Base of everything that crosses Redis or HTTP: camelCase outside, unknown fields ignored (versions mix)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_json(self) -> str:
        """Compact JSON with camelCase names."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class JobRequest(Document):
    """A job's parameters, complete: every default applied, style expanded, limits checked. Frozen at enqueue.

    ``width`` and ``height`` are pixels, ``input`` is a store key (``inputs/<sha256>.png``).
    """

    schema_version: int = 1
    model: str
    revision: str
    task: Task
    prompt: str = ""
    negative_prompt: str = ""
    width: int
    height: int
    steps: int
    guidance: float
    seed: int
    frames: int = 1
    fps: int = 8
    motion: int = 127
    strength: float = 0.6
    scheduler: str | None = None
    adapters: tuple[str, ...] = ()
    format: OutputFormat = "png"
    quality: int = Field(90, ge=1, le=100)
    input: str | None = None

    def shape_key(self) -> str:
        """What must be equal for tensors to share a forward pass."""
        adapters = "".join(f"|{adapter}" for adapter in sorted(self.adapters))
        size = f"{self.width}|{self.height}|{self.frames}"
        return f"{self.model}|{self.revision}|{self.task.value}|{size}{adapters}"

    def parameter_key(self) -> str:
        """What a stock pipeline takes once per call; only the parameters that the task uses count."""
        key = f"{self.steps}|{self.guidance}|{self.scheduler or ''}"
        if self.task is Task.IMAGE_TO_IMAGE:
            key += f"|{self.strength}"
        if self.task.makes_video:
            key += f"|{self.fps}|{self.motion}"
        return key

    def digest(self, engine_version: str) -> str:
        """64 hex digits; two jobs with equal digests may share one result.

        Covers everything that decides the bytes: model revision, final prompts, all parameters, the input's hash (its
        key holds it), the format and the engine's version. While versions or revisions mix, what a job asks for and
        what a worker makes of it may have different digests: results are kept under the worker's.
        """
        # Fields come in the order of the class: equal requests have equal JSON.
        canonical = self.model_dump_json(exclude={"schema_version"})
        return hashlib.sha256(f"{engine_version}\n{canonical}".encode()).hexdigest()


class Durations(Document):
    """Where the time of a finished job went, in integer milliseconds."""

    waited: int = 0
    """From enqueue to claim, loads included."""
    loaded: int = 0
    """The part of ``waited`` during which this job's model was being loaded for it."""
    ran: int = 0
    """From claim to stored result."""
    computed: int = 0
    """The part of ``ran`` that was the pipeline's own call, shared by the whole batch."""


class JobResult(Document):
    """What a finished job left in the store."""

    key: str
    """Store key, random per attempt: ``results/<random>.<ext>``."""
    content_type: str
    size: int
    width: int
    height: int
    seed: int
    frames: int = 1
    model: str
    batch_size: int = 1
    """How many jobs shared the forward pass."""
    durations: Durations = Durations()
    worker: str = ""
    slot: str = ""
    stored_at: int | None = None
    """By the queue's clock, in Unix milliseconds: the file's life begins here, for jobs answered from the cache too."""
    made: str | None = Field(None, exclude=True)
    """Digest of what was made: requests of this digest may share it. None: the job's own. Not kept with the result."""


class JobError(Document):
    """Why a job did not succeed: a stable word and a sentence."""

    code: str
    message: str


class JobFailure(Document):
    """An attempt that came to nothing and was followed by another. ``at`` in Unix milliseconds."""

    at: int
    slot: str | None = None
    error: JobError


class NewJob(BaseModel):
    """Everything ``Queue.enqueue`` needs. Times in milliseconds, work in expected GPU-seconds, price in quota units."""

    model_config = ConfigDict(frozen=True)

    id: str
    subject: str
    lane: Lane
    request: JobRequest
    work: float
    price: int
    digest: str
    charge_id: str | None = None
    idempotency_key: str | None = None
    """Already scoped to the subject by the caller."""
    fingerprint: str | None = None
    """Hash of the request body as sent; another body under the same idempotency key is a conflict."""
    trace: str | None = None
    deadline_ms: int = 3_600_000
    """Life from enqueue to ``expired``."""
    use_cache: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as Redis knows it. ``seq`` grows with every change; times are integer Unix milliseconds.

    What it is made of has been checked: by who asked, or on the way out of Redis.
    """

    id: str
    pool: str
    subject: str
    lane: Lane
    state: JobState
    model: str
    request: JobRequest
    work: float
    price: int
    charge_id: str | None = None
    digest: str
    seq: int
    attempts: int = 0
    solo: bool = False
    leader: str | None = None
    """The job that a following job waits for."""
    cached: bool = False
    deadline: int
    enqueued_at: int
    started_at: int | None = None
    finished_at: int | None = None
    result: JobResult | None = None
    error: JobError | None = None
    failures: tuple[JobFailure, ...] = ()
    """Earlier attempts, oldest first; how the last one failed is in ``error``."""
    trace: str | None = None
    slot: str | None = None


class JobEvent(Document):
    """One hint on the pool's event channel. The record is the truth; a gap in ``seq`` means: read it again."""

    job: str
    seq: int
    state: JobState
    position: int | None = None
    """How many jobs start before it, when it begins to wait, waits again, is lifted or joins another; who moves up because
    others are claimed is told nothing."""
    progress: float | None = None
    """0 to 1 within the running attempt."""
    step: int | None = None
    steps: int | None = None
    preview: str | None = None
    """A data URL of at most 8 KiB; never stored."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
