"""Every metric of modelpool, in one place. Prefix ``modelpool_``; what a process does not touch it does not expose.

Build one :class:`Metrics` per process on its own registry; tests build theirs. Label values come from the catalog,
never from users. Seconds and bytes are base units, as Prometheus asks.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
AGE_BUCKETS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400, 604_800)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class ApiMetrics:
    """What the API counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "modelpool_requests_total",
            "Jobs asked for, by outcome: queued, cached, joined, shed, refused. Demand is queued + shed.",
            ["pool", "model", "lane", "outcome"],
            registry=registry,
        )
        self.time_to_result = Histogram(
            "modelpool_time_to_result_seconds",
            "From enqueue to a final state.",
            ["pool", "model", "lane", "cold"],
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self.queue_depth = Gauge("modelpool_queue_depth", "Jobs waiting.", ["pool", "model", "lane"], registry=registry)
        self.quota_refusals = Counter(
            "modelpool_quota_refusals_total",
            "Jobs refused for want of units, by the ceiling that said no, or for coming too fast (burst).",
            ["lane", "ceiling"],
            registry=registry,
        )
        self.unusual_use = Counter(
            "modelpool_unusual_use_total",
            "Anonymous requests that show a pattern no person has, by mode (shadow: only noticed; enforce: refused).",
            ["pattern", "mode"],
            registry=registry,
        )
        self.challenges = Counter(
            "modelpool_challenges_total",
            "Proofs of work: issued, and what came back (solved, wrong, expired, used, foreign).",
            ["outcome"],
            registry=registry,
        )
        self.refunds = Counter(
            "modelpool_refunds_total",
            "Charges given back: the job ended unhappily (ended), or no job came of the request (lapsed).",
            ["reason"],
            registry=registry,
        )


class WorkerMetrics:
    """What a worker counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queue_wait = Histogram(
            "modelpool_queue_wait_seconds",
            "From enqueue to claim.",
            ["pool", "model", "lane"],
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "modelpool_batch_size",
            "Jobs per forward pass.",
            ["pool", "model"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.step_seconds = Histogram(
            "modelpool_step_seconds",
            "One denoising step of a whole batch.",
            ["pool", "model"],
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self.load_seconds = Histogram(
            "modelpool_load_seconds",
            "Making a model hot, by where its weights were (cold: disk, warm: host RAM).",
            ["pool", "model", "from"],
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self.gpu_seconds = Counter(
            "modelpool_gpu_seconds_total",
            "Where a slot's time went: generate, load, idle, failed.",
            ["pool", "slot", "activity"],
            registry=registry,
        )
        self.slot_weights = Gauge(
            "modelpool_slot_weights_bytes",
            "Weights held, in VRAM (hot) or host RAM (warm).",
            ["pool", "slot", "tier"],
            registry=registry,
        )


class OperatorMetrics:
    """What the operator counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.moves = Counter(
            "modelpool_moves_total",
            "Loads and unloads that workers were told to do, by reason.",
            ["pool", "reason"],
            registry=registry,
        )
        self.moves_done = Counter(
            "modelpool_moves_done_total",
            "Of those, the ones that a worker has reported as done.",
            ["pool", "reason"],
            registry=registry,
        )
        self.move_seconds = Histogram(
            "modelpool_move_seconds",
            "From telling a worker to its report that the model is hot (load) or gone (unload).",
            ["pool", "action"],
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self.age_at_eviction = Histogram(
            "modelpool_age_at_eviction_seconds",
            "How long a model had been hot in a slot when it was told to go, by reason.",
            ["pool", "reason"],
            buckets=AGE_BUCKETS,
            registry=registry,
        )
        self.wait_behind_loads = Counter(
            "modelpool_wait_behind_loads_seconds_total",
            "Job-seconds that jobs have waited while their model was hot nowhere.",
            ["pool", "model"],
            registry=registry,
        )
        self.forecast_error = Gauge(
            "modelpool_forecast_error",
            "How far the last five minutes' jobs were from the forecast made before them: half their Poisson deviance, "
            "0 is exact.",
            ["pool", "model"],
            registry=registry,
        )
        self.demand_misses = Counter(
            "modelpool_demand_misses_total",
            "Queued jobs whose model was hot nowhere and loading nowhere.",
            ["pool", "model"],
            registry=registry,
        )
        self.reconcile = Histogram(
            "modelpool_reconcile_seconds",
            "One observe, plan, apply.",
            ["pool"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )

    def forget(self, pool: str) -> None:
        """Take away every series of a pool that is gone."""
        for metric in vars(self).values():
            metric.remove_by_labels({"pool": pool})
