"""Tokens of an OpenID provider: checked against its published keys, which are kept and fetched again when they change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from modelpool.errors import Unauthenticated, Unavailable
from modelpool_api.policy import Oidc

log = logging.getLogger(__name__)

FRESH_SECONDS = 600.0
RETRY_SECONDS = 30.0
"""How often at most a key that is not known makes us fetch the key set again."""
LONGEST_TOKEN = 8_192
_BROKEN = (JoseError, ValueError, TypeError, KeyError, AttributeError)
"""What joserfc makes of tokens, odd ones included."""


async def fetch_json(url: str) -> Any:
    """The JSON document at ``url``."""
    async with httpx.AsyncClient(timeout=5) as http:
        return (await http.get(url)).raise_for_status().json()


class OidcVerifier:
    """Checks tokens of one provider. ``monotonic`` in seconds, ``now`` in Unix seconds."""

    def __init__(
        self,
        rules: Oidc,
        *,
        fetch: Callable[[str], Awaitable[Any]] = fetch_json,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._fetch = fetch
        self._now = now
        self._monotonic = monotonic
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> dict[str, Any]:
        """The token's claims, ``sub`` among them.

        :raises Unauthenticated: not signed by the provider, for somebody else, or no longer valid.
        :raises Unavailable: the provider's keys cannot be fetched and none are known.
        """
        if len(token) > LONGEST_TOKEN:
            raise _refusal()
        keys = await self._key_set(stale=self._monotonic() - self._fetched > FRESH_SECONDS)
        try:
            return self._check(token, keys)
        except InvalidKeyIdError:
            # The provider may have begun to sign with another key.
            again = await self._key_set(stale=True, unknown=True)
            if again is keys:
                raise _refusal() from None
            try:
                return self._check(token, again)
            except _BROKEN:
                raise _refusal() from None
        except _BROKEN:
            raise _refusal() from None

    def _check(self, token: str, keys: KeySet) -> dict[str, Any]:
        found = jwt.decode(token, keys, algorithms=list(self.rules.algorithms))
        registry = jwt.JWTClaimsRegistry(
            now=int(self._now()),
            leeway=self.rules.leeway_seconds,
            iss={"essential": True, "value": self.rules.issuer},
            aud={"essential": True, "value": self.rules.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        registry.validate(found.claims)
        return dict(found.claims)

    async def _key_set(self, *, stale: bool, unknown: bool = False) -> KeySet:
        """The keys, fetched anew when they are ``stale``; who can go on with those at hand waits for no other's fetching."""
        if stale and (unknown or self._keys is None or not self._fetching.locked()):
            async with self._fetching:
                await self._fetch_keys()
        if self._keys is None:
            raise Unavailable("the OpenID provider cannot be reached to check the token; try again", retry_after=5)
        return self._keys

    async def _fetch_keys(self) -> None:
        if self._monotonic() - self._tried <= RETRY_SECONDS:
            return
        self._tried = self._monotonic()
        try:
            self._keys = KeySet.import_key_set(await self._fetch(self.rules.jwks_url))
            self._fetched = self._monotonic()
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("the OpenID provider's keys cannot be fetched: %s", type(error).__name__)


def _refusal() -> Unauthenticated:
    return Unauthenticated("the token is not valid here: sign in again, or leave the Authorization header away")
