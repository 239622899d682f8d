"""People at the front door: each with an address, and with a cookie, a fingerprint and a key as far as they have them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from modelpool_api.app import create_app
from modelpool_api.context import Context, open_context
from modelpool_api.settings import Settings
from support import wait_until
from support.queues import Clock

ADMIN = "an-admin-token-for-the-tests"
SECRET = "a-secret-for-the-tests"
_words = itertools.count(1)


@dataclass
class Door:
    """One API process, called without a network, from whatever address a test likes."""

    app: FastAPI
    context: Context
    statuses: list[int] = field(default_factory=list)

    async def call(self, method: str, path: str, address: str = "192.0.2.7", **request: Any) -> httpx.Response:
        """One request from ``address``; nothing is remembered between two."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 4711), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            return await http.request(method, path, **request)


@dataclass
class Visitor:
    """Somebody who asks. ``keeps_cookies`` is what a browser does unless told otherwise."""

    door: Door
    address: str = "192.0.2.7"
    fingerprint: str | None = None
    key: str | None = None
    keeps_cookies: bool = True
    cookie: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request with all that this visitor has."""
        headers = {**self.headers, **request.pop("headers", {})}
        if self.fingerprint is not None:
            headers["Modelpool-Fingerprint"] = self.fingerprint
        if self.cookie is not None:
            headers["Cookie"] = self.cookie
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        answer = await self.door.call(method, path, self.address, headers=headers, **request)
        if self.keeps_cookies and (given := answer.headers.get("set-cookie")):
            self.cookie = given.partition(";")[0]
        return answer

    async def ask(self, **fields: Any) -> httpx.Response:
        """Ask for a picture that nobody has asked for before."""
        headers = fields.pop("headers", {})
        body = {"model": "shapes", "prompt": f"words {next(_words)}", **fields}
        return await self.call("POST", "/v1/jobs", json=body, headers=headers)

    async def admitted(self, tries: int, **fields: Any) -> int:
        """How many of ``tries`` requests, one after another, are let in. The others must be refused gently."""
        count = 0
        for _ in range(tries):
            answer = await self.ask(**fields)
            assert answer.status_code in (200, 202, 429), answer.text
            count += answer.status_code != 429
        return count

    async def remaining(self) -> int:
        """Units left, as the API says."""
        left: int = (await self.call("GET", "/v1/quota")).json()["remaining"]
        return left

    def elsewhere(self, address: str, **changes: Any) -> Visitor:
        """The same one at another address, with what they have."""
        return replace(self, address=address, **changes)


@asynccontextmanager
async def open_door(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Door]:
    """An API process over ``settings``; ``clock`` replaces Redis's for days, quotas and bursts."""
    context = open_context(settings, redis_now=clock)
    app = create_app(context)
    async with app.router.lifespan_context(app):
        await wait_until(context.pools.all)
        yield Door(app, context)


def door_settings(redis_url: str, folder: Path, admission: str, *, secret: str = SECRET) -> Settings:
    """Settings whose admission document is ``admission``, YAML. Units are given back when a test says so."""
    path = folder / f"admission-{next(_words)}.yaml"
    path.write_text(admission)
    return Settings(
        redis_url=redis_url,
        store_url=f"file://{folder}/store",
        admission=str(path),
        subject_secret=secret,
        admin_token=ADMIN,
        refresh_seconds=0.2,
        refund_seconds=3600,
    )
