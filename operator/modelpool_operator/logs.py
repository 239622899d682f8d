"""Where the operator's log goes: standard error, with the pool in every line that is about one."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from modelpool.logs import JsonLines

POOL: ContextVar[str] = ContextVar("pool", default="")
"""The pool that the running task is about; tasks inherit it from who starts them."""


class _PoolOfTask(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Everything passes, with the pool's name."""
        if (pool := POOL.get()) and not hasattr(record, "pool"):
            record.pool = pool
        return True


def set_up(pool: str = "") -> None:
    """Our own words from INFO on, those of libraries from WARNING on. With ``pool``, all of them are about it."""
    POOL.set(pool)
    handler = logging.StreamHandler()
    handler.addFilter(_PoolOfTask())
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("modelpool", "modelpool_operator"):
        logging.getLogger(ours).setLevel(logging.INFO)
