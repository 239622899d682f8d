"""From a pod's manifest to facts: its phase, and its own words for what is wrong. Depends on nothing but the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from modelpool.slots import SlotPhase
from modelpool_operator.cluster.port import Manifest
from modelpool_operator.runtimes.pods.facts import SeenPod
from modelpool_operator.runtimes.pods.spec import CONTAINER, PLACEMENT_HASH, SLOT_LABEL, TEMPLATE_HASH, TIER_LABEL

COMING = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons for waiting that are no trouble."""
LONGEST_REASON = 400


def seen_pod(pod: Manifest) -> SeenPod:
    """Read one pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
    disrupted = conditions.get("DisruptionTarget", {})
    container: Mapping[str, Any] = next(
        (c for c in status.get("containerStatuses") or () if c["name"] == CONTAINER), {}
    )
    deleted_at = _moment(metadata.get("deletionTimestamp"))
    phase, reason = _phase(pod, conditions, container)
    return SeenPod(
        name=metadata["name"],
        uid=metadata["uid"],
        tier=labels.get(TIER_LABEL, ""),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        template_hash=annotations.get(TEMPLATE_HASH, ""),
        placement_hash=annotations.get(PLACEMENT_HASH, ""),
        phase=phase,
        reason=reason[:LONGEST_REASON],
        since=_moment(ready.get("lastTransitionTime")) or _moment(metadata.get("creationTimestamp")) or 0,
        restarts=container.get("restartCount", 0),
        ready=phase is SlotPhase.READY,
        ended=status.get("phase") in ("Failed", "Succeeded"),
        unschedulable=scheduled.get("status") == "False",
        deleted_at=deleted_at,
        node_lost=deleted_at is not None and disrupted.get("reason") == "DeletionByTaintManager",
        unready_since=_moment(ready.get("lastTransitionTime")) if ready.get("status") == "False" else None,
        metadata=metadata,
    )


def slot_of(pod: Manifest) -> str:
    """The slot that a pod belongs to by its name; its label may have been edited."""
    return str(pod["metadata"].get("labels", {}).get(SLOT_LABEL) or pod["metadata"]["name"])


def _phase(pod: Manifest, conditions: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[SlotPhase, str]:
    status = pod.get("status") or {}
    # First of all: a worker that was told to go ends well, and that is no failure.
    if pod["metadata"].get("deletionTimestamp"):
        disrupted = conditions.get("DisruptionTarget", {})
        return SlotPhase.DRAINING, _sentence(disrupted.get("reason", ""), disrupted.get("message", ""))
    if status.get("phase") in ("Failed", "Succeeded"):
        return SlotPhase.FAILED, _sentence(status.get("reason") or "Failed", status.get("message") or _last(container))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return SlotPhase.PENDING, _sentence(scheduled.get("reason", ""), scheduled.get("message", ""))
    if conditions.get("Ready", {}).get("status") == "True":
        return SlotPhase.READY, ""
    return _coming(status, container)


def _coming(status: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[SlotPhase, str]:
    """A pod that has a node and is not ready."""
    last = _last(container)
    for reason, message in _waiting(status):
        if reason == "CrashLoopBackOff":
            return SlotPhase.RESTARTING, _sentence(reason, last or message)
        if reason not in COMING:
            return SlotPhase.FAILED, _sentence(reason, message)
    ended = "terminated" in (container.get("state") or {})
    return SlotPhase.RESTARTING if ended else SlotPhase.STARTING, last


def _waiting(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Why each container waits, init containers first."""
    for found in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (found.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason"):
            yield waiting["reason"], waiting.get("message", "")


def _last(container: Mapping[str, Any]) -> str:
    """How the container ended last, such as ``OOMKilled (exit code 137)``."""
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        ended = state.get("terminated")
        if ended:
            said = (ended.get("message") or "").strip().splitlines()
            more = f": {said[-1].strip()}" if said else ""
            return f"{ended.get('reason') or 'Ended'} (exit code {ended.get('exitCode')}){more}"
    return ""


def _sentence(reason: str, message: str) -> str:
    return f"{reason}: {message}" if reason and message else reason or message


def _moment(text: str | None) -> int | None:
    return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None
