"""The protocol of a pool's source."""

from __future__ import annotations

from typing import Protocol

from modelpool.resources.spec import ModelPool


class PoolSource(Protocol):
    """One pool as it is wanted. An edit that cannot work leaves the last good one in force."""

    @property
    def pool(self) -> ModelPool:
        """The pool in force."""
        ...

    @property
    def problem(self) -> str | None:
        """What is wrong with the pool as it is written down now, in one line."""
        ...

    @property
    def epoch(self) -> int:
        """The highest epoch that the source itself has on record; 0 where it keeps none."""
        ...

    def refresh(self) -> bool:
        """Look again. True: there is a new pool, or a new problem, or the old one is gone."""
        ...
