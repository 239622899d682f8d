"""The pool file, followed as it changes. An edit that cannot work leaves the last good one in force."""

from __future__ import annotations

from pathlib import Path

from modelpool.errors import InvalidSpec
from modelpool.resources.load import load_pool
from modelpool.resources.spec import ModelPool


class PoolFile:
    """Reads at once.

    :raises InvalidSpec: the first version must be one that can work.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        """What is wrong with the file as it stands, in one line."""
        self.epoch = 0
        """A file keeps no epoch."""
        self._stamp = self._look()
        self.pool: ModelPool = load_pool(path)

    def refresh(self) -> bool:
        """Read the file again if it was touched. True: there is a new pool, or a new problem, or the old one is gone."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = (self.pool, self.problem)
        try:
            self._adopt(load_pool(self.path))
        except InvalidSpec as error:
            self.problem = error.message
        return (self.pool, self.problem) != before

    def _adopt(self, pool: ModelPool) -> None:
        old, new = self.pool.metadata, pool.metadata
        if (new.namespace, new.name) != (old.namespace, old.name):
            raise InvalidSpec(
                f"{self.path}: metadata: the pool is called {old.namespace}/{old.name} as long as its operator runs; "
                "put a new pool into a file of its own"
            )
        self.problem = None
        if pool.spec != self.pool.spec:
            generation = max(new.generation, old.generation + 1)
            self.pool = pool.model_copy(update={"metadata": new.model_copy(update={"generation": generation})})

    def _look(self) -> tuple[int, int, int] | None:
        """Changes with the file: inode, size and moment of the last change."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
