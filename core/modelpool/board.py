"""The notice board: the documents that operator, workers and API share, in Redis, fenced by the operator's epoch.

Catalog, assignments and status are kept; a heartbeat dies by itself after :data:`HEARTBEAT_TTL_MS`. Readers never fail
because of what a document holds: one that cannot be read counts as absent and is logged. Every method raises
:class:`modelpool.errors.QueueUnavailable` when Redis is away.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from modelpool.documents import (
    HEARTBEAT_TTL_MS,
    POOLS_KEY,
    SCHEMA_VERSION,
    Assignment,
    Catalog,
    DocumentKeys,
    Heartbeat,
)
from modelpool.errors import QueueUnavailable, StaleEpoch
from modelpool.jobs import Document
from modelpool.resources.pool import PoolRef
from modelpool.resources.status import ModelPoolStatus

log = logging.getLogger(__name__)

D = TypeVar("D", bound=Document)

# The shared head of all writing scripts: the epoch on record and the writer's. A newer writer becomes the one on record,
# which also heals the record after Redis has lost its data. Numbers go through %.0f, because Lua writes 1e+15 otherwise.
_FENCE = """
local recorded = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local epoch = tonumber(ARGV[1])
if epoch < recorded then return {0, string.format('%.0f', recorded)} end
if epoch > recorded then redis.call('SET', KEYS[1], string.format('%.0f', epoch)) end
"""

_TAKE_EPOCH = """
local epoch = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') or 0, tonumber(ARGV[1])) + 1
local text = string.format('%.0f', epoch)
redis.call('SET', KEYS[1], text)
return text
"""

_PUT = _FENCE + "redis.call('SET', KEYS[2], ARGV[2]) return {1, ''}"

_REMOVE = _FENCE + "redis.call('DEL', KEYS[2], KEYS[3]) return {1, ''}"

# The version grows, and the bell rings, only when the slot shall hold something else; a mere change of operator does not.
# What is not a readable assignment counts as absent. hot and warm arrive sorted, as JSON, and are never re-encoded here,
# because Lua would turn [] into {}.
_ASSIGN = (
    _FENCE
    + """
local function same(list, text)
  if type(list) ~= 'table' then return false end
  local other = cjson.decode(text)
  if #list ~= #other then return false end
  for index = 1, #other do if list[index] ~= other[index] then return false end end
  return true
end
local found = redis.pcall('GET', KEYS[2])
local readable, old = pcall(cjson.decode, found)
if not readable or type(old) ~= 'table' or type(old.version) ~= 'number' then old = {version = 0} end
local version, changed = old.version, not (same(old.hot, ARGV[2]) and same(old.warm, ARGV[3]))
local now = redis.call('TIME')
local millis = now[1] * 1000 + math.floor(now[2] / 1000)
if changed then version = version + 1 elseif old.updatedAt then millis = old.updatedAt end
local body = string.format(
  '{"schemaVersion":%s,"epoch":%.0f,"version":%.0f,"hot":%s,"warm":%s,"updatedAt":%.0f}',
  ARGV[4], epoch, version, ARGV[2], ARGV[3], millis)
if body ~= found then redis.call('SET', KEYS[2], body) end
if changed then redis.call('PUBLISH', KEYS[3], string.format('%.0f', version)) end
return {1, body}
"""
)

_EPOCH_SECONDS = 86_400
"""How long the epoch of a pool that is gone is kept."""
_RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_QUIET_SECONDS = 15.0
"""How long a bell listens before it looks at its connection again."""


async def listed_pools(client: Redis) -> list[PoolRef]:
    """Every pool that has a catalog, in order."""
    with _unavailable():
        listed = await client.hvals(POOLS_KEY)
    return sorted(PoolRef.parse(name.decode() if isinstance(name, bytes) else name) for name in listed)


class Board:
    """One pool's documents. ``client`` is shared and stays open; bytes and decoded responses are both fine."""

    def __init__(self, pool: PoolRef, client: Redis) -> None:
        self.pool = pool
        self.keys = DocumentKeys(pool)
        self._client = client
        self._take_epoch = client.register_script(_TAKE_EPOCH)
        self._put = client.register_script(_PUT)
        self._assign = client.register_script(_ASSIGN)
        self._remove = client.register_script(_REMOVE)

    # --- catalog and status ---------------------------------------------------------------------------------------

    async def catalog(self) -> Catalog | None:
        """What the pool offers, or None before an operator has said so."""
        return (await self._read_many(Catalog, {"": self.keys.catalog})).get("")

    async def put_catalog(self, catalog: Catalog, epoch: int | None = None) -> None:
        """Publish the catalog and list the pool under its short id. Without an epoch, unfenced.

        :raises StaleEpoch: a newer operator is in charge.
        """
        await self._write(self.keys.catalog, catalog, epoch)
        with _unavailable():
            await self._client.hset(POOLS_KEY, self.pool.short_id, str(self.pool))

    async def delist_others(self) -> None:
        """Take every other pool off the list, for a Redis that serves this pool alone; their keys stay."""
        with _unavailable():
            listed = await self._client.hkeys(POOLS_KEY)
            others = [short for short in listed if short not in (self.pool.short_id, self.pool.short_id.encode())]
            if others:
                await self._client.hdel(POOLS_KEY, *others)

    async def status(self) -> ModelPoolStatus | None:
        """What the operator last said about the pool."""
        return (await self._read_many(ModelPoolStatus, {"": self.keys.status})).get("")

    async def put_status(self, status: ModelPoolStatus) -> None:
        """Publish the status, fenced by its own epoch.

        :raises StaleEpoch: a newer operator is in charge.
        """
        await self._write(self.keys.status, status, status.epoch)

    # --- epochs and assignments -----------------------------------------------------------------------------------

    async def take_epoch(self, at_least: int = 0) -> int:
        """Become the operator in charge: one more than ``at_least`` and than every epoch before. Fences all others."""
        with _unavailable():
            return int(await self._take_epoch(keys=[self.keys.epoch], args=[at_least]))

    async def epoch(self) -> int:
        """The epoch on record, 0 before the first."""
        with _unavailable():
            found = await self._client.get(self.keys.epoch)
        return int(found or 0)

    async def assignment(self, slot: str) -> Assignment | None:
        """What ``slot`` shall hold, or None before an operator has said so."""
        return (await self.assignments([slot])).get(slot)

    async def assignments(self, slots: Sequence[str]) -> dict[str, Assignment]:
        """What each slot shall hold; slots without a readable assignment are left out."""
        return await self._read_many(Assignment, {slot: self.keys.assignment(slot) for slot in slots})

    async def assign(self, slot: str, epoch: int, hot: Sequence[str], warm: Sequence[str] = ()) -> Assignment:
        """Say what ``slot`` shall hold. Rings the slot's bell and raises ``version`` only when that is news.

        :raises StaleEpoch: a newer operator is in charge.
        """
        with _unavailable():
            accepted, answer = await self._assign(
                keys=[self.keys.epoch, self.keys.assignment(slot), self.keys.bell(slot)],
                args=[epoch, json.dumps(sorted(set(hot))), json.dumps(sorted(set(warm))), SCHEMA_VERSION],
            )
        self._refuse_stale(accepted, answer, epoch)
        return Assignment.model_validate_json(answer)

    async def remove_slot(self, slot: str, epoch: int) -> None:
        """Forget a slot that the pool no longer has.

        :raises StaleEpoch: a newer operator is in charge.
        """
        with _unavailable():
            accepted, answer = await self._remove(
                keys=[self.keys.epoch, self.keys.assignment(slot), self.keys.heartbeat(slot)], args=[epoch]
            )
        self._refuse_stale(accepted, answer, epoch)

    async def remove_pool(self) -> None:
        """Forget a pool that is gone: its documents and its place on the list. Its jobs expire by themselves.

        The epoch stays for a day, so that an operator which has not heard of it yet is refused.
        """
        catalog = await self.catalog()
        slots = [slot.slot for slot in catalog.slots] if catalog is not None else []
        documents = [self.keys.catalog, self.keys.status, *(self.keys.assignment(slot) for slot in slots)]
        with _unavailable():
            await self._client.hdel(POOLS_KEY, self.pool.short_id)
            await self._take_epoch(keys=[self.keys.epoch], args=[0])
            await self._client.expire(self.keys.epoch, _EPOCH_SECONDS)
            await self._client.delete(*documents)

    async def ring(self, slot: str) -> None:
        """Ring a slot's bell, for news that are not in its assignment."""
        with _unavailable():
            await self._client.publish(self.keys.bell(slot), "")

    async def bell(self, slot: str) -> AsyncGenerator[None, None]:
        """One ring for every change of the slot's assignment, or of the catalog where that concerns it, for ever.

        Rings once at the start and after each reconnect too, because a change may have been missed: read the
        assignment and the catalog at every ring.
        """
        failures = 0
        while True:
            pubsub = self._client.pubsub()
            try:
                await pubsub.subscribe(self.keys.bell(slot))
                while True:
                    message = await pubsub.get_message(timeout=_QUIET_SECONDS)
                    if message is not None:
                        failures = 0
                        yield None
            except (RedisError, OSError):
                delay = _RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)]
                failures += 1
                await asyncio.sleep(delay)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis leaves this one untyped

    # --- heartbeats -----------------------------------------------------------------------------------------------

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Say that a slot's worker is alive, and what it holds."""
        with _unavailable():
            await self._client.set(self.keys.heartbeat(heartbeat.slot), heartbeat.to_json(), px=HEARTBEAT_TTL_MS)

    async def farewell(self, slot: str) -> None:
        """Say that a slot's worker has gone on purpose."""
        with _unavailable():
            await self._client.delete(self.keys.heartbeat(slot))

    async def heartbeats(self, slots: Sequence[str]) -> dict[str, Heartbeat]:
        """The living workers among ``slots``."""
        return await self._read_many(Heartbeat, {slot: self.keys.heartbeat(slot) for slot in slots})

    # --- shared ---------------------------------------------------------------------------------------------------

    async def _read_many(self, kind: type[D], keys: dict[str, str]) -> dict[str, D]:
        if not keys:
            return {}
        with _unavailable():  # MGET, which passes over keys of another type where GET would refuse
            bodies = await self._client.mget(list(keys.values()))
        found = {name: _read(kind, body, key) for (name, key), body in zip(keys.items(), bodies, strict=True)}
        return {name: document for name, document in found.items() if document is not None}

    async def _write(self, key: str, document: Document, epoch: int | None) -> None:
        with _unavailable():
            if epoch is None:
                await self._client.set(key, document.to_json())
                return
            accepted, answer = await self._put(keys=[self.keys.epoch, key], args=[epoch, document.to_json()])
        self._refuse_stale(accepted, answer, epoch)

    def _refuse_stale(self, accepted: int, answer: bytes | str, epoch: int) -> None:
        if not accepted:
            raise StaleEpoch(
                f"pool {self.pool}: a newer operator (epoch {int(answer)}) has taken over from this one (epoch {epoch})"
            )


def _read(kind: type[D], body: Any, key: str) -> D | None:
    if body is None:
        return None
    try:
        return kind.model_validate_json(body)
    except (ValidationError, UnicodeDecodeError) as problem:
        log.warning("%s holds no readable %s and counts as absent: %s", key, kind.__name__, problem)
        return None


@contextmanager
def _unavailable() -> Iterator[None]:
    """Redis' own errors as ours."""
    try:
        yield
    except (RedisError, OSError) as problem:
        raise QueueUnavailable(f"Redis cannot be reached or refuses to work: {problem}") from problem
