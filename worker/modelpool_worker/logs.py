"""Where a worker's log goes, and from which level on."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from modelpool.logs import JsonLines


def set_up(pool: str, slot: str, level: str, file: Path | None) -> None:
    """Log everything of this process to ``file``, or to standard error; libraries from WARNING on."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file)
    handler.setFormatter(JsonLines(pool=pool, slot=slot))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("modelpool", "modelpool_worker"):
        logging.getLogger(name).setLevel(level.upper())
