"""Structured logging: one JSON object a line, with pool and slot. Prompts never go to a log."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Everything given as ``extra`` becomes a field."""

    def __init__(self, pool: str, slot: str) -> None:
        super().__init__()
        self._fixed = {"pool": pool, "slot": slot}

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._fixed,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


def set_up(pool: str, slot: str, level: str, file: Path | None) -> None:
    """Log everything of this process to ``file``, or to standard error; libraries from WARNING on."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file)
    handler.setFormatter(JsonLines(pool, slot))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("modelpool", "modelpool_worker"):
        logging.getLogger(name).setLevel(level.upper())
