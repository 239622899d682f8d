"""The process's own log: what it says of requests names nobody and gives no right away."""

from __future__ import annotations

import logging
import re
import sys

from modelpool_api.request_id import NamesRequest

FORMAT = "%(asctime)s %(levelname)s%(request)s %(name)s: %(message)s"
_ABOUT_A_REQUEST = '%s - "'
"""So begin all of uvicorn's lines about a request; their arguments are the client's address and what it asked for."""
_TALKATIVE = ("asyncio", "httpcore", "httpx", "python_multipart", "websockets")
"""At ``debug`` libraries write headers and addresses down."""
_ID = re.compile(r"(/v1/(?:jobs|results|admin/keys)/)[^/]+")
_KNOWN = re.compile(r"(/(?:v1/[a-z/…]+|docs(?:/[a-z./-]+)?|openapi\.json|healthz|readyz|metrics)?)")


def set_up_logs(level: str, *, access: bool, root: str = "") -> None:
    """Write to stderr from ``level`` on; with ``access`` a line for each request, whose path begins with ``root``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(NamesRequest())
    logging.basicConfig(level=level.upper(), format=FORMAT, handlers=[handler])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(RequestLines(access=access, root=root))


def uvicorn_level(level: str) -> str:
    """uvicorn's: at ``debug`` it writes every header of a WebSocket."""
    return "info" if level.lower() == "debug" else level


def shown_path(path: str, root: str = "") -> str:
    """What may be logged of a path: no id, no name of a file, no query, and nothing of one that we do not have."""
    bare = path.partition("?")[0].removeprefix(root)
    masked = _ID.sub(r"\1…", bare)
    if masked.startswith("/v1/models/"):
        masked = "/v1/models/…"
    return masked if _KNOWN.fullmatch(masked) else "…"


class RequestLines(logging.Filter):
    """Takes the client's address and all ids out of uvicorn's lines about requests; or the lines out of the log."""

    def __init__(self, *, access: bool, root: str = "") -> None:
        super().__init__()
        self._access = access
        self._root = root

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; it is changed."""
        if not isinstance(record.msg, str) or not record.msg.startswith(_ABOUT_A_REQUEST):
            return True
        if not self._access or not isinstance(record.args, tuple):
            return False
        record.args = ("-", *(self._shown(part) for part in record.args[1:]))
        return True

    def _shown(self, part: object) -> object:
        return shown_path(part, self._root) if isinstance(part, str) and part.startswith("/") else part
