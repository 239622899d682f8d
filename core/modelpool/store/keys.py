"""Which keys a store accepts, and what an extension means.

A key is all that stands between a URL and the folder behind it, so the alphabet is small: two known folders, no
further slash, no leading dot.
"""

from __future__ import annotations

import re

from modelpool.errors import ResultNotFound
from modelpool.jobs import CONTENT_TYPES

_KEY = re.compile(r"(results|inputs)/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def is_key(key: str) -> bool:
    """Whether ``key`` is one that a store may be asked for."""
    return _KEY.fullmatch(key) is not None


def require_known(key: str) -> None:
    """Refuse a key that came from outside and cannot exist.

    :raises ResultNotFound: not one of ours; the message does not repeat it.
    """
    if not is_key(key):
        raise ResultNotFound("there is no such file: check the address, results live 24 hours")


def require_valid(key: str) -> None:
    """Refuse to write under a key that nobody could read.

    :raises ValueError: a mistake of the caller, never of a user.
    """
    if not is_key(key):
        raise ValueError(f"{key!r} is no store key; write results/<name> or inputs/<name>")


def content_type(key: str) -> str:
    """Content type by extension; bytes without a meaning otherwise."""
    extension = key.rpartition(".")[2].lower()
    return CONTENT_TYPES.get("jpeg" if extension == "jpg" else extension, "application/octet-stream")
