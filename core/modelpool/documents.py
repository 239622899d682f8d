"""Documents that operator, workers and API share through Redis, and how they are read and written.

Each carries ``schemaVersion``; readers ignore what they do not know. Times are integer Unix milliseconds unless a name
says seconds. Catalog and assignments are kept, a heartbeat is dead after :data:`HEARTBEAT_TTL_MS`.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from modelpool.jobs import Document
from modelpool.resources.models import BatchPolicy, Defaults, Limits, Source, Style, Task
from modelpool.resources.pool import PoolRef
from modelpool.resources.spec import Policy

SCHEMA_VERSION = 1
HEARTBEAT_INTERVAL_SECONDS = 2.0
HEARTBEAT_TTL_MS = 10_000
POOLS_KEY = "mpl:pools"
"""Hash of short id → ``namespace/name`` of every pool that has a catalog."""


class CatalogModel(Document):
    """One model as users see it, and what a worker needs to load it."""

    name: str
    tier: str
    policy: Policy
    tasks: tuple[Task, ...]
    source: Source
    revision: str
    weights_bytes: int
    activations_bytes: int
    defaults: Defaults
    limits: Limits
    batch: BatchPolicy
    styles: tuple[Style, ...] = ()
    quota_units: int = 1
    seconds_per_megapixel_step: float


class CatalogSlot(Document):
    """One slot of the pool and its budgets in bytes."""

    slot: str
    tier: str
    vram_bytes: int
    host_memory_bytes: int
    stays: dict[str, str] = Field(default_factory=dict)
    """By model: an older revision that the slot goes on serving, because another slot has its turn to load the new one."""


class Catalog(Document):
    """What a pool offers. Written by the operator, read by everybody."""

    schema_version: int = SCHEMA_VERSION
    pool: str
    default: bool = False
    target_seconds: float = 10
    models: tuple[CatalogModel, ...] = ()
    slots: tuple[CatalogSlot, ...] = ()
    engine: str = ""
    """Version of what made the pool's last pictures (see :class:`Heartbeat`): known while no worker lives, too."""
    updated_at: int = 0

    def model(self, name: str) -> CatalogModel | None:
        """The model of this name, or None."""
        return next((model for model in self.models if model.name == name), None)

    def stays(self, slot: str) -> dict[str, str]:
        """Older revisions that this slot goes on serving for now."""
        return next((found.stays for found in self.slots if found.slot == slot), {})


class Assignment(Document):
    """What one slot shall hold. ``version`` grows by one with every change of the slot."""

    schema_version: int = SCHEMA_VERSION
    epoch: int
    version: int
    hot: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    updated_at: int = 0


class Stat(Document):
    """A running mean and standard deviation over ``count`` measurements."""

    mean: float
    deviation: float = 0.0
    count: int = 1


class MeasuredModel(Document):
    """What a worker has measured of a model. Seconds and bytes."""

    weights_bytes: int | None = None
    activations_bytes: int | None = None
    cold_to_hot_seconds: Stat | None = None
    warm_to_hot_seconds: Stat | None = None
    seconds_per_megapixel_step: Stat | None = None
    batch_cap: int | None = None


REMOTE = "remote"
"""Where files come from that are not on the worker's disk yet."""


class Loading(Document):
    """A load in progress."""

    model: str
    origin: str = "cold"
    """``cold``, ``warm``, or :data:`REMOTE` while the files are fetched."""
    progress: float = 0.0
    since: int


class RunningBatch(Document):
    """What a worker computes right now."""

    model: str
    size: int
    since: int
    step: int = 0
    steps: int = 0


class SlotFailure(Document):
    """The last thing that went wrong in a slot."""

    code: str
    message: str
    at: int
    model: str | None = None


class Spent(Document):
    """Seconds of a slot's last hour by activity, and the pictures and videos delivered in it."""

    generate: float = 0.0
    load: float = 0.0
    idle: float = 0.0
    failed: float = 0.0
    generations: int = 0

    @property
    def seconds(self) -> float:
        """All of them: what has to be paid for."""
        return self.generate + self.load + self.idle + self.failed


class Heartbeat(Document):
    """What one worker reports of its slot, every 2 s and at every change of substance."""

    schema_version: int = SCHEMA_VERSION
    slot: str
    worker: str
    pid: int
    uuid: str = ""
    """Of the GPU; ``cpu`` where there is none."""
    device: str = "cpu"
    engine: str = ""
    """What pictures depend on beside their requests: versions of the worker and its libraries, kind of device."""
    epoch: int = 0
    version: int = 0
    """Of the assignment that the worker has reached."""
    hot: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    revisions: dict[str, str] = Field(default_factory=dict)
    """Of the models that are hot or warm."""
    loading: Loading | None = None
    measured: dict[str, MeasuredModel] = Field(default_factory=dict)
    batch: RunningBatch | None = None
    failed: dict[str, SlotFailure] = Field(default_factory=dict)
    """By model: loads that failed under the current assignment, until one succeeds."""
    error: SlotFailure | None = None
    draining: bool = False
    http: str = ""
    """Base URL of the worker's health and metrics endpoint."""
    rss_bytes: int = 0
    vram_used_bytes: int = 0
    spent: Spent = Field(default_factory=Spent)
    started_at: int = 0
    at: int = 0
    progress_at: int = 0
    """When the engine last moved; the liveness probe reads it."""


def newest_engine(heartbeats: Iterable[Heartbeat]) -> str:
    """The engine version of the worker that started last; empty without one.

    In a roll-out that is where results are going to come from. The guess cannot harm: workers keep results under the
    version that made them, so a wrong one finds nothing.
    """
    newest = max(heartbeats, key=lambda beat: (beat.started_at, beat.slot), default=None)
    return newest.engine if newest is not None else ""


class DocumentKeys:
    """Redis keys of a pool's documents."""

    def __init__(self, pool: PoolRef) -> None:
        self.pool = pool
        self.catalog = pool.key("catalog")
        self.epoch = pool.key("epoch")
        self.status = pool.key("status")

    def assignment(self, slot: str) -> str:
        """Assignment of one slot."""
        return self.pool.key("slot", slot, "assignment")

    def heartbeat(self, slot: str) -> str:
        """Heartbeat of one slot."""
        return self.pool.key("slot", slot, "heartbeat")

    def bell(self, slot: str) -> str:
        """Pub/sub channel that rings one worker when its assignment changed."""
        return self.pool.key("slot", slot, "bell")
