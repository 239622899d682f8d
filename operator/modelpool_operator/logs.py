"""Structured logs: one JSON object a line on standard error, with the pool and whatever the place adds."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Fields given as ``extra`` stand beside time, level, pool and message."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self._pool = pool

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "pool": self._pool,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def set_up(pool: str) -> None:
    """Our own words from INFO on, those of libraries from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(pool))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("modelpool", "modelpool_operator"):
        logging.getLogger(ours).setLevel(logging.INFO)
