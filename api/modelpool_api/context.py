"""What one API process works with: built once, handed to every route."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from modelpool.metrics import ApiMetrics
from modelpool.queue.connection import connect
from modelpool.store.open import open_store
from modelpool.store.port import Store
from modelpool_api.accounts.store import KeyStore
from modelpool_api.admin_token import checked_admin_token
from modelpool_api.behaviour.recording import Recorder
from modelpool_api.challenges import Challenges
from modelpool_api.door_scripts import DoorScripts
from modelpool_api.identity.days import Days
from modelpool_api.identity.keys_file import ApiKey, FileKeys, read_api_keys, require_plans
from modelpool_api.identity.people import StoredPeople
from modelpool_api.identity.resolver import Credentials, SignalSubjectResolver
from modelpool_api.identity.ring import SecretRing
from modelpool_api.identity.subject import SubjectResolver
from modelpool_api.inputs import Inputs
from modelpool_api.policy import AdmissionPolicy
from modelpool_api.policy_file import read_policy
from modelpool_api.pools import Connect, Pools
from modelpool_api.quota.ledger import Ledger
from modelpool_api.settings import Settings

log = logging.getLogger(__name__)

CONNECTIONS = 96
"""To Redis: one per pool listens, the others are shared by requests."""


def unix_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


def random_token() -> str:
    """128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


def random_seed() -> int:
    """A seed that every JSON reader keeps exact."""
    return secrets.randbelow(2**32)


@dataclass(frozen=True, slots=True)
class Context:
    """The process context. Time and randomness come from here and nowhere else."""

    settings: Settings
    store: Store
    pools: Pools
    inputs: Inputs
    policy: AdmissionPolicy
    resolver: SubjectResolver
    scripts: DoorScripts
    ledger: Ledger
    keys: KeyStore
    challenges: Challenges
    recorder: Recorder | None
    metrics: ApiMetrics
    registry: CollectorRegistry
    now_ms: Callable[[], int] = unix_ms
    new_token: Callable[[], str] = random_token
    draw_seed: Callable[[], int] = random_seed
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process shall end: whoever waits is sent home."""


def open_context(
    settings: Settings, connect_redis: Connect | None = None, *, redis_now: Callable[[], int] | None = None
) -> Context:
    """The context for ``settings``. Opens the store and reads the keys; Redis is reached later, and may be away.

    ``redis_now`` replaces Redis's clock for days and quotas, in tests only.

    :raises InvalidInput: a setting that cannot work.
    """
    settings = replace(settings, admin_token=checked_admin_token(settings.admin_token))
    policy = read_policy(settings.admission)
    keys = _file_keys(settings, policy)
    ring = _ring(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    store = open_store(settings.store_url)
    pools = Pools(
        connect_redis or (lambda: connect(settings.redis_url, max_connections=CONNECTIONS)),
        unix_ms,
        reread_seconds=settings.reread_seconds,
    )
    stored = KeyStore(pools.client, policy.plans, unix_ms)
    scripts = DoorScripts(pools.client)
    days = Days(pools.client, ring, now=redis_now)
    metrics = ApiMetrics(registry)
    record = policy.behaviour.record
    return Context(
        settings=settings,
        store=store,
        pools=pools,
        inputs=Inputs(store, pools, settings.max_input_pixels),
        policy=policy,
        resolver=SignalSubjectResolver(
            policy,
            ring,
            days,
            file_keys=FileKeys(keys),
            credentials=(stored, *_signed_in(policy, scripts, ring)),
            root_path=settings.root_path,
        ),
        scripts=scripts,
        ledger=Ledger(scripts, days),
        keys=stored,
        challenges=Challenges(
            policy.challenge,
            ring,
            days,
            pools.client,
            time.time,
            lambda outcome: metrics.challenges.labels(outcome).inc(),
        ),
        recorder=Recorder(record) if record is not None else None,
        metrics=metrics,
        registry=registry,
    )


def _file_keys(settings: Settings, policy: AdmissionPolicy) -> tuple[ApiKey, ...]:
    keys = read_api_keys(Path(settings.api_keys_file)) if settings.api_keys_file else ()
    require_plans(keys, policy.plans)
    return keys


def _signed_in(policy: AdmissionPolicy, scripts: DoorScripts, ring: SecretRing) -> tuple[Credentials, ...]:
    rules = policy.identity.oidc
    if rules is None:
        return ()
    from modelpool_api.identity.oidc import OidcVerifier  # its libraries are for those who use it
    from modelpool_api.identity.signed_in import SignedIn

    return (SignedIn(OidcVerifier(rules), StoredPeople(scripts, ring), policy.plans),)


def _ring(settings: Settings) -> SecretRing:
    if settings.subject_secret:
        return SecretRing.parse(settings.subject_secret)
    log.warning(
        "no subject secret is set: cookies and anonymous allowances will not survive a restart, and replicas will not "
        "agree on them; set MODELPOOL_SUBJECT_SECRET"
    )
    return SecretRing((secrets.token_bytes(32),))
