"""Ends one thing after the other, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable


async def end_in_order(steps: Iterable[tuple[str, Callable[[], Awaitable[None]]]], say: Callable[[str], None]) -> None:
    """Take every step, each when the one before is done; one that fails is told by its name, and the next is taken."""
    for what, end in steps:
        try:
            await end()
        except Exception as error:  # what comes after must still be ended
            say(f"{what} did not end in good order: {error!r}")
