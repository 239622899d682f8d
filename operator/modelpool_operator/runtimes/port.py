"""The protocol of a runtime."""

from __future__ import annotations

from typing import Protocol

from modelpool.errors import Unavailable
from modelpool.slots import DesiredSlots, ObservedSlots


class RuntimeUnavailable(Unavailable):
    """The runtime cannot be reached; workers that run go on running."""

    code = "runtime_unavailable"


class Runtime(Protocol):
    """Keeps the workers that are desired, and tells how they are."""

    async def apply(self, desired: DesiredSlots) -> ObservedSlots:
        """Begin to bring about what is desired and say what is there now; does not wait for it.

        :raises RuntimeUnavailable: try again later.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; the workers stay."""
        ...
