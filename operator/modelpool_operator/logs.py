"""Where the operator's log goes: standard error, with the pool in every line."""

from __future__ import annotations

import logging

from modelpool.logs import JsonLines


def set_up(pool: str) -> None:
    """Our own words from INFO on, those of libraries from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(pool=pool))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("modelpool", "modelpool_operator"):
        logging.getLogger(ours).setLevel(logging.INFO)
