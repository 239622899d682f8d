"""What the operator says of a pool in its cluster: the status of the resource, and an Event for each thing that happened."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from modelpool.errors import ModelpoolError, Unavailable
from modelpool.resources.pool import PoolRef
from modelpool.resources.status import Condition, ModelPoolStatus
from modelpool_operator.cluster.port import EVENT, MODEL_POOL, ApiConflict, ApiNotFound, Cluster, Manifest, version_of
from modelpool_operator.pacing import Pace, due_in
from modelpool_operator.planner import Move

log = logging.getLogger(__name__)

PACE = Pace(state_ms=1_000, figures_ms=60_000)
MENDED_MS = 60_000
"""Between two writes for no other reason than that somebody else has overwritten the status."""
AWAY_SECONDS = 2.0
"""Between attempts while the API server is away."""
REFUSED_SECONDS = 5.0
"""A restarted API server refuses for a moment what it will allow."""
EVENTS_KEPT = 200
"""How many wait for an API server that is away; older ones are dropped."""
LONGEST_NOTE = 1024
"""Bytes; the API server refuses an Event with more."""
CONTROLLER = "modelpool.dev/operator"


@dataclass(frozen=True, slots=True)
class _Written:
    """A status that was written, and the whole resource as the API server keeps it since."""

    status: ModelPoolStatus
    resource: Manifest
    at: int


class ResourceTeller:
    """Writes for one pool from :meth:`run`; see :class:`modelpool_operator.tellers.Teller`.

    ``look`` gives the resource as it was last seen, which is how a status that somebody else has overwritten is noticed
    and mended. ``now``: Unix milliseconds.
    """

    def __init__(
        self,
        pool: PoolRef,
        uid: str,
        cluster: Cluster,
        instance: str,
        look: Callable[[], Manifest | None],
        now: Callable[[], int],
    ) -> None:
        self._pool = pool
        self._uid = uid
        self._cluster = cluster
        self._instance = instance
        self._look = look
        self._now = now
        self._latest: ModelPoolStatus | None = None
        self._written: _Written | None = None
        self._mended_at: int | None = None
        self._degraded: Condition | None = None
        self._events: deque[Manifest] = deque(maxlen=EVENTS_KEPT)
        self._count = 0
        self._news = asyncio.Event()

    def tell(self, status: ModelPoolStatus) -> None:
        """See :class:`modelpool_operator.tellers.Teller`."""
        self._latest = status
        degraded = next((condition for condition in status.conditions if condition.type == "Degraded"), None)
        if degraded is not None and self._is_news(degraded):
            kind = "Warning" if degraded.status == "True" else "Normal"
            self._note(kind, degraded.reason, "Observe", degraded.message)
        self._degraded = degraded or self._degraded
        self._news.set()

    def moved(self, move: Move) -> None:
        """See :class:`modelpool_operator.tellers.Teller`."""
        facts = [f"score {move.score:.3g}"] if move.score is not None else []
        facts += [f"runner-up {move.runner_up}"] if move.runner_up is not None else []
        more = f" ({', '.join(facts)})" if facts else ""
        note = f"{move.action.value} {move.model} in {move.slot}: {move.sentence}{more}"
        self._note("Normal", move.reason.value, move.action.value.capitalize(), note)
        self._news.set()

    async def run(self) -> None:
        """Write what there is to write, for ever."""
        away = False
        while True:
            self._news.clear()
            try:
                wait = await self._write()
            except (ApiNotFound, ApiConflict):
                await asyncio.sleep(AWAY_SECONDS)  # it has gone, or is another by now: whoever keeps us will notice
                continue
            except Unavailable as error:
                if not away:
                    log.warning("the status waits", extra={"reason": error.message})
                away = True
                await asyncio.sleep(AWAY_SECONDS)
                continue
            except ModelpoolError as error:
                log.error("the status is refused", extra={"reason": error.message})
                await asyncio.sleep(REFUSED_SECONDS)
                continue
            if away:
                log.info("the API server takes the status again")
            away = False
            await self._rest(wait)

    async def _write(self) -> float | None:
        """Returns in how many seconds there is something to write again, unless news come first; None: not without news."""
        wait = await self._write_status()  # first, for Events that are refused are tried for ever
        while self._events:
            try:
                await self._cluster.create(EVENT, self._events[0])
            except ApiConflict:
                log.debug("the event is there already")
            self._events.popleft()
        return wait

    async def _write_status(self) -> float | None:
        if self._latest is None:
            return None
        now, status, mends = self._now(), self._latest, self._mended_in()
        old, age = (self._written.status, now - self._written.at) if self._written is not None else (None, 0)
        waits = [wait for wait in (due_in(PACE, old, status, age), mends) if wait is not None]
        if not waits or min(waits) > 0:
            return min(waits) / 1000 if waits else None
        kept = await self._cluster.patch(
            MODEL_POOL,
            self._pool.namespace,
            self._pool.name,
            {"status": document_of(status)},
            subresource="status",
        )
        self._written = _Written(status, kept, now)
        if mends is not None:
            self._mended_at = now
        return None

    def _mended_in(self) -> int | None:
        """In how many milliseconds what somebody else has written may be overwritten; None: nobody has, or they are in charge."""
        seen = self._look()
        if self._latest is None or self._written is None or seen is None or seen["metadata"]["uid"] != self._uid:
            return None
        told, ours = seen.get("status") or {}, self._written.resource
        if version_of(seen) <= version_of(ours) or told == ours["status"] or told.get("epoch", 0) > self._latest.epoch:
            return None
        return 0 if self._mended_at is None else max(0, self._mended_at + MENDED_MS - self._now())

    async def _rest(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _is_news(self, degraded: Condition) -> bool:
        old = self._degraded
        if old is None:
            return degraded.status == "True"
        return (old.status, old.reason) != (degraded.status, degraded.reason)

    def _note(self, kind: str, reason: str, action: str, note: str) -> None:
        self._count += 1
        now = self._now()
        moment = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._events.append(
            {
                "apiVersion": EVENT.api_version,
                "kind": EVENT.name,
                "metadata": {
                    "name": f"{self._pool.name}.{now:x}.{self._count:x}",
                    "namespace": self._pool.namespace,
                },
                "eventTime": moment,
                "type": kind,
                "reason": reason,
                "action": action,
                "note": note.encode()[:LONGEST_NOTE].decode(errors="ignore"),
                "reportingController": CONTROLLER,
                "reportingInstance": self._instance,
                "regarding": {
                    "apiVersion": MODEL_POOL.api_version,
                    "kind": MODEL_POOL.name,
                    "namespace": self._pool.namespace,
                    "name": self._pool.name,
                    "uid": self._uid,
                },
            }
        )


def document_of(status: ModelPoolStatus) -> Manifest:
    """The status as the resource holds it: fields without a value are taken away by null."""
    made: Manifest = status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"updated_at"})
    if status.cost is None:
        made["cost"] = None
    return made
