"""kopf, for one thing: its watch streams. Handlers of events only, so that no finalizer and no annotation is ever written.

What it sees goes to :class:`modelpool_operator.cluster.sightings.Sightings`; decisions are made in the reconcilers. The
cluster's kinds and namespaces are not scanned, which would ask for rights that nothing here needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import kopf
from kubernetes.aio.client.configuration import Configuration

from modelpool_operator.cluster.port import MODEL_POOL, POD, ApiUnavailable, Kind
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.runtimes.pods.spec import COMMON_LABELS

BACKOFFS = (1, 1, 2, 3, *[5] * 720)
"""Seconds between attempts while the API server is away, for an hour: it is seen again soon, however long it was away."""

Access = Callable[[], Awaitable[Configuration]]


async def start_watching(
    sightings: Sightings, access: Access, namespaces: Sequence[str]
) -> Collection[asyncio.Task[None]]:
    """Begin to feed ``sightings``, from these namespaces or, without any, from all.

    Set signal handlers after this: kopf sets its own, for programs of which it is the whole.
    """
    return await kopf.spawn_tasks(
        registry=_registry(sightings, access),
        settings=_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
    )


async def keep_watching(tasks: Collection[asyncio.Task[None]]) -> None:
    """For ever.

    Not ``kopf.run_tasks``: in the end it would cancel every task of this process that is younger than its own.

    :raises ApiUnavailable: kopf has given up.
    """
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        error = next((task.exception() for task in done if not task.cancelled()), None)
        raise ApiUnavailable(f"watching the cluster has ended: {error or 'for no reason given'}") from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _registry(sightings: Sightings, access: Access) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return _connection(await access())

    def saw(kind: Kind) -> Callable[..., Awaitable[None]]:
        async def see(event: Mapping[str, Any], **_: Any) -> None:
            item = {"apiVersion": kind.api_version, "kind": kind.name, **event["object"]}
            sightings.saw(event["type"], kind, item)

        see.__name__ = kind.plural
        return see

    kopf.on.login(registry=registry)(log_in)
    group, version = MODEL_POOL.api_version.split("/")
    kopf.on.event(group, version, MODEL_POOL.plural, registry=registry)(saw(MODEL_POOL))
    kopf.on.event("", POD.api_version, POD.plural, labels=COMMON_LABELS, registry=registry)(saw(POD))
    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.label_selectors["", POD.api_version, POD.plural] = ",".join(
        f"{label}={value}" for label, value in COMMON_LABELS.items()
    )
    # An object's events are bundled by kopf to spare its handlers; ours only take notes.
    settings.queueing.idle_timeout = 1.0
    settings.networking.error_backoffs = BACKOFFS
    settings.persistence.diffbase_storage = _NothingToCompare()
    # The reconcilers end with the process; kopf need not wait to kill it.
    settings.process.ultimate_exiting_timeout = None
    return settings


class _NothingToCompare(kopf.DiffBaseStorage):
    """What has changed in an object is of no interest: kopf need not copy each one that it sees to find out."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


def _connection(found: Configuration) -> kopf.ConnectionInfo:
    """What ``kubernetes`` has found out about the API server, in kopf's words."""
    scheme, _, token = str(found.api_key.get("BearerToken", "")).rpartition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        ca_data=found.ca_cert_data,
        insecure=not found.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
    )
