"""Collects what a subscription yields."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from support.waiting import wait_until


class Listener:
    """Collects what a subscription yields, from the moment that it stands."""

    def __init__(self, listen: Callable[[Callable[[], None]], AsyncIterator[Any]]) -> None:
        self.heard: list[Any] = []
        self.connected = 0
        self._listen = listen

    async def __aenter__(self) -> Listener:
        self._task = asyncio.create_task(self._run())
        await wait_until(lambda: self.connected)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async for item in self._listen(self._on_connect):
            self.heard.append(item)

    def _on_connect(self) -> None:
        self.connected += 1
