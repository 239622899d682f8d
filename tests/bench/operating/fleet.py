"""What surrounds an operator and costs next to nothing: nodes that say that pods run, workers that say what they hold."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from modelpool.documents import HEARTBEAT_TTL_MS, Assignment, DocumentKeys, Heartbeat
from modelpool.jobs import Lane
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool_operator.cluster.api_server import ApiServer
from modelpool_operator.cluster.port import POD, Kind, Manifest
from modelpool_operator.runtimes.pods.spec import COMMON_LABELS, CONTAINER
from support.queues import new_job, new_result

BEAT_SECONDS = 2.0
PORTION = 100
"""Heartbeats that travel together."""


class Nodes:
    """Puts every pod on a node and says that it is ready."""

    def __init__(self, cluster: ApiServer, names: Sequence[str]) -> None:
        self._cluster = cluster
        self._names = names
        self.ready: set[str] = set()
        """Uids."""

    async def look(self) -> int:
        """Bring up what is new; returns how many pods are ready."""
        listing = await self._cluster.list(POD, None, COMMON_LABELS)
        new = [pod for pod in listing.items if pod["metadata"]["uid"] not in self.ready]
        for start in range(0, len(new), 10):
            await asyncio.gather(*(self._run(pod) for pod in new[start : start + 10]))
        return len(self.ready)

    async def _run(self, pod: Manifest) -> None:
        name, namespace, uid = (pod["metadata"][key] for key in ("name", "namespace", "uid"))
        node = self._names[len(self.ready) % len(self._names)]
        metadata = {"name": name, "namespace": namespace}
        target = {"kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._cluster.create(Kind("v1", "Binding", f"pods/{name}/binding"), binding)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        container = {
            "name": CONTAINER,
            "ready": True,
            "started": True,
            "restartCount": 0,
            "image": pod["spec"]["containers"][0]["image"],
            "imageID": "",
            "state": {"running": {"startedAt": now}},
        }
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("PodScheduled", "Ready")]
        status = {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": [container]}
        await self._cluster.patch(POD, namespace, name, {"status": status}, subresource="status")
        self.ready.add(uid)


class Fleet:
    """The workers of many pools: each reports every two seconds, and holds at once what it is told to hold."""

    def __init__(self, client: Redis, slots: dict[PoolRef, list[str]]) -> None:
        self._client = client
        self._pools = {pool: DocumentKeys(pool) for pool in slots}
        self._slots = {(pool, slot): Heartbeat(slot=slot, worker=slot, pid=1) for pool in slots for slot in slots[pool]}
        self._by_bell = {self._pools[pool].bell(slot): (pool, slot) for pool, slot in self._slots}
        self.told_at: dict[tuple[PoolRef, str], float] = {}
        """When a worker last heard that it shall hold a model, by pool and model; seconds of the monotonic clock."""

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._beat())

    def holders(self, pool: PoolRef, model: str) -> list[str]:
        """Slots in which a model is hot."""
        return [slot for (of, slot), beat in self._slots.items() if of == pool and model in beat.hot]

    async def _listen(self) -> None:
        async with self._client.pubsub() as pubsub:
            await pubsub.subscribe(*self._by_bell)
            for place in self._slots:
                await self._obey(*place)
            while True:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=BEAT_SECONDS)
                if message is not None:
                    await self._obey(*self._by_bell[message["channel"]])

    async def _obey(self, pool: PoolRef, slot: str) -> None:
        heard = time.monotonic()
        text = await self._client.get(self._pools[pool].assignment(slot))
        if text is None:
            return
        told = Assignment.model_validate_json(text)
        beat = self._slots[pool, slot]
        for model in set(told.hot) - set(beat.hot):
            self.told_at[pool, model] = heard
        beat = beat.model_copy(update={"hot": told.hot, "warm": told.warm, "version": told.version})
        self._slots[pool, slot] = beat
        await self._client.set(self._pools[pool].heartbeat(slot), beat.to_json(), px=HEARTBEAT_TTL_MS)

    async def _beat(self) -> None:
        places = list(self._slots)
        portions = [places[start : start + PORTION] for start in range(0, len(places), PORTION)]
        while True:
            for portion in portions:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for pool, slot in portion:
                        text = self._slots[pool, slot].to_json()
                        _ = pipeline.set(self._pools[pool].heartbeat(slot), text, px=HEARTBEAT_TTL_MS)
                    await pipeline.execute()
                await asyncio.sleep(BEAT_SECONDS / len(portions))


class Traffic:
    """One pool's users, and what serves them at once."""

    def __init__(self, pool: PoolRef, client: Redis) -> None:
        self.pool = pool
        self.queue = RedisQueue(pool, client)

    async def ask(self, model: str) -> None:
        """Put one job into the queue."""
        id = f"{self.pool.short_id}{secrets.token_hex(16)}"
        await self.queue.enqueue(new_job(model, Lane.ANONYMOUS, id=id, work=0.1))

    async def serve(self, model: str, slot: str) -> bool:
        """Claim one batch of the model and finish it; whether there was one."""
        batch = await self.queue.claim(slot, slot, [HotModel(model, cap=4)])
        if batch is None:
            return False
        for job in batch.jobs:
            await self.queue.finish(batch.lease, job.id, new_result(batch.model))
        return True
