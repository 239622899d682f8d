"""Who signs in with an OpenID provider has a random id, the same from day to day, which tells nobody who that is.

The provider's name for them is kept as HMACs only, one under each secret of the ring: an id outlives a rotation as long as
the rings before and after it share a secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from modelpool.queue.rules import DAY_MS
from modelpool_api.door_scripts import DoorScripts
from modelpool_api.identity.ring import SecretRing

LIFE_MS = 35 * DAY_MS
"""Since they were last seen; as long as their usage is kept."""
_PURPOSE = "person"
_ID = """
local id
for i = 3, #ARGV do id = id or redis.call('GET', KEYS[1] .. ':person:' .. ARGV[i]) end
id = id or ARGV[1]
for i = 3, #ARGV do redis.call('SET', KEYS[1] .. ':person:' .. ARGV[i], id, 'PX', ARGV[2]) end
return id
"""
"""ARGV: a new id, its life in ms, the names of one person, newest first. Returns the id they have had, or the new one."""


class People(Protocol):
    """Knows the ids of those whom a provider vouches for."""

    async def id_of(self, issuer: str, name: str) -> str:
        """The id of whoever ``issuer`` calls ``name``.

        :raises QueueUnavailable: Redis is needed to tell, and away.
        """
        ...


def new_person() -> str:
    """128 random bits in base64."""
    return secrets.token_urlsafe(16)


class StoredPeople:
    """Implements :class:`People` over Redis."""

    def __init__(self, scripts: DoorScripts, ring: SecretRing, new_id: Callable[[], str] = new_person) -> None:
        self._scripts = scripts
        self._ring = ring
        self._new_id = new_id

    async def id_of(self, issuer: str, name: str) -> str:
        """See :class:`People`."""
        names = self._ring.names(_PURPOSE, issuer, name)
        return str(await self._scripts.run(_ID, self._new_id(), LIFE_MS, *names))
