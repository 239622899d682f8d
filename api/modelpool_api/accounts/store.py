"""Issued keys in Redis. They have no time to live; what is kept of a secret is its hash."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from modelpool.errors import NotFound, Unauthenticated
from modelpool.queue.connection import unavailable
from modelpool_api.accounts.keys import KeyRecord, Kind, digest, key_text, parse_key
from modelpool_api.door_scripts import PREFIX
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Plan

KNOWN_SECONDS = 5.0
"""How long a process trusts what it has read: so long may a revoked key still work."""
_REMEMBERED = 10_000
_ROTATE = """
local before, previous, untils = unpack(redis.call('HMGET', KEYS[1], 'digest', 'previous', 'until'))
if not before then return {} end
if before ~= ARGV[1] then
  local now, latest, digests, ends = tonumber(ARGV[2]), tonumber(ARGV[3]), {}, {}
  local next_end = (ARGV[3] .. ' ' .. untils):gmatch('%d+')
  for digest in (before .. ' ' .. previous):gmatch('%x+') do
    local its = math.min(tonumber(next_end()), latest)
    if its > now then digests[#digests + 1], ends[#ends + 1] = digest, string.format('%d', its) end
  end
  redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'previous', table.concat(digests, ' '),
    'until', ends[1] and table.concat(ends, ' ') or 0)
end
return redis.call('HGETALL', KEYS[1])
"""
"""One step: a key that is revoked meanwhile does not come back, and of two rotations neither undoes the other. It may be sent
again when its reply was lost: the new secret does not become the one before. Whose answer was lost on the way to whoever asked
asks again, so each earlier secret keeps its own grace, but none more than the last one asked for gives."""

_REVOKE = """
if redis.call('DEL', KEYS[1]) == 1 then
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('SET', KEYS[3], ARGV[2], 'PX', 60000)
end
return redis.call('GET', KEYS[3]) == ARGV[2]
"""
"""Whether this call has ended the key, also when it is sent again because its reply was lost."""


class KeyNotFound(NotFound):
    """No key has this id, or not any more."""

    code = "key_not_found"
    title = "Key not found"


def record_key(id: str) -> str:
    """Where a key's record lies in Redis."""
    return f"{PREFIX}:key:{id}"


def id_of_record(key: str) -> str:
    """Whose record lies at ``key``, as :func:`record_key` has it."""
    return key.rpartition(":")[2]


class KeyStore:
    """Issues keys and finds who holds them. ``now_ms`` in Unix milliseconds."""

    def __init__(
        self,
        client: Callable[[], Awaitable[Redis]],
        plans: Mapping[str, Plan],
        now_ms: Callable[[], int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._plans = plans
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[float, KeyRecord | None]] = OrderedDict()

    async def create(self, kind: Kind, name: str, plan: str, *, id: str | None = None) -> tuple[KeyRecord, str]:
        """A new key: its record, and the text that is shown once and kept nowhere.

        :raises QueueUnavailable: Redis is away.
        """
        id, secret = id or new_id(), secrets.token_urlsafe(24)
        record = KeyRecord(id, kind, name, plan, self._now_ms(), digest(secret))
        client = await self._client()
        with unavailable():
            pipe = client.pipeline(transaction=True)
            _ = pipe.hset(record_key(id), mapping=_fields(record))
            if kind == "issued":
                _ = pipe.sadd(f"{PREFIX}:keys", id)
            await pipe.execute()
        self._known.pop(id, None)
        return record, key_text(id, secret)

    async def rotate(self, id: str, grace_ms: int) -> tuple[KeyRecord, str]:
        """A new secret for the same key; the old one works for another ``grace_ms``, those before it no longer than that.

        :raises KeyNotFound: no such key.
        """
        secret = secrets.token_urlsafe(24)
        client = await self._client()
        with unavailable():
            rotate = AsyncScript(client, _ROTATE)
            now = self._now_ms()
            fields = await rotate(keys=[record_key(id)], args=[digest(secret), now, now + grace_ms])
        self._known.pop(id, None)
        if not fields:
            raise _absent(id)
        return _record(id, dict(zip(fields[::2], fields[1::2], strict=True))), key_text(id, secret)

    async def revoke(self, id: str) -> None:
        """End a key. Other processes notice within :data:`KNOWN_SECONDS`.

        :raises KeyNotFound: no such key.
        """
        client = await self._client()
        with unavailable():
            revoke = AsyncScript(client, _REVOKE)
            keys = [record_key(id), f"{PREFIX}:keys", f"{PREFIX}:revoked:{id}"]
            removed = await revoke(keys=keys, args=[id, secrets.token_urlsafe(9)])
        self._known.pop(id, None)
        if not removed:
            raise _absent(id)

    async def get(self, id: str) -> KeyRecord:
        """The record.

        :raises KeyNotFound: no such key.
        """
        found = await self._read(id)
        if found is None:
            raise _absent(id)
        return found

    async def issued(self) -> list[KeyRecord]:
        """Every key that an administrator has made, oldest first. Free accounts are not listed."""
        client = await self._client()
        with unavailable():
            ids = sorted(await client.smembers(f"{PREFIX}:keys"))
        found = [await self._read(str(id)) for id in ids]
        return sorted((record for record in found if record is not None), key=lambda record: record.created_at)

    async def find(self, key: str) -> Subject | None:
        """The subject that holds exactly this key. See :class:`modelpool_api.identity.resolver.Credentials`.

        :raises Unauthenticated: the key is good, but its plan does not exist any more.
        """
        parts = parse_key(key)
        if parts is None:
            return None
        record = await self._recent(*parts)
        if record is None or not record.opens_with(parts[1], self._now_ms()):
            return None
        plan = self._plans.get(record.plan)
        if plan is None:
            raise Unauthenticated(f"the plan {record.plan!r} of this key is no longer offered: ask the operator")
        return Subject(record.subject, plan.queue_lane, record.plan)

    async def _recent(self, id: str, secret: str) -> KeyRecord | None:
        """The record as read a moment ago at most; read now when ``secret`` does not open it: another process may
        just have given the key a new one."""
        at, record = self._known.get(id, (float("-inf"), None))
        recent = self._monotonic() - at < KNOWN_SECONDS
        if recent and (record is None or record.opens_with(secret, self._now_ms())):
            return record
        record = await self._read(id)
        self._known[id] = self._monotonic(), record
        self._known.move_to_end(id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return record

    async def _read(self, id: str) -> KeyRecord | None:
        client = await self._client()
        with unavailable():
            found = await client.hgetall(record_key(id))
        return _record(id, found) if found else None


def new_id() -> str:
    """The public part of a key."""
    return secrets.token_hex(6)


def _record(id: str, found: Mapping[Any, Any]) -> KeyRecord:
    fields = {str(name): str(value) for name, value in found.items()}
    return KeyRecord(
        id=id,
        kind="account" if fields["kind"] == "account" else "issued",
        name=fields["name"],
        plan=fields["plan"],
        created_at=int(fields["created"]),
        digest=fields["digest"],
        earlier=tuple(zip(fields["previous"].split(), map(int, fields["until"].split()), strict=False)),
    )


def _fields(record: KeyRecord) -> Mapping[Any, Any]:
    """Of a new one, which has no earlier secrets."""
    return {
        "kind": record.kind,
        "name": record.name,
        "plan": record.plan,
        "created": record.created_at,
        "digest": record.digest,
        "previous": "",
        "until": 0,
    }


def _absent(id: str) -> KeyNotFound:
    return KeyNotFound(f"there is no key {id}: it never existed, or it was revoked", param="id")
