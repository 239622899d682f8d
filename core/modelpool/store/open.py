"""Open a store by its URL.

===========================  ==============================================================================
``memory:``                  this process only, for tests
``file:///var/lib/results``  a folder, created when it is missing
``s3://bucket/prefix``       S3; ``?endpoint=``, ``?region=``, ``?access_key_id=``, ``?secret_access_key=`` or the usual
                             ``AWS_…`` variables of the environment
``http(s)://host:port``      a server that takes PUT and DELETE, as nginx with its dav module does; it removes what is
                             old by itself. ``http://name:password@host`` sends Basic authentication
===========================  ==============================================================================
"""

from __future__ import annotations

import base64
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import HTTPStore, LocalStore, S3Store

from modelpool.errors import InvalidInput
from modelpool.store.memory import MemoryStore
from modelpool.store.objects import ObjectsStore
from modelpool.store.port import Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config  # obstore has its type hints in stubs only

_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_S3_OPTIONS = ("endpoint", "region", "access_key_id", "secret_access_key", "session_token")


def open_store(url: str) -> Store:
    """The store behind ``url``.

    :raises InvalidInput: a URL that says no store, with the spellings that do.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "file":
        return _folder(Path(unquote(parts.netloc + parts.path)))
    if parts.scheme == "s3":
        return _s3(parts.netloc, parts.path.strip("/"), dict(parse_qsl(parts.query)))
    if parts.scheme in ("http", "https"):
        return _http(parts)
    raise InvalidInput(
        f"a store of kind {parts.scheme!r} is not known; write file:///folder, s3://bucket/prefix or http://host:port",
        param="store",
    )


def _folder(path: Path) -> Store:
    if not path.is_absolute():
        raise InvalidInput(f"the store's folder {str(path)!r} must be absolute: file:///folder", param="store")
    try:
        return ObjectsStore(LocalStore(path, mkdir=True), str(path), attributes=False)
    except (BaseError, OSError, ValueError) as error:
        raise InvalidInput(f"the store's folder {str(path)!r} cannot be made: {error}", param="store") from error


def _s3(bucket: str, prefix: str, options: dict[str, str]) -> Store:
    unknown = sorted(set(options) - set(_S3_OPTIONS))
    if not bucket or unknown:
        wrong = f"unknown option {unknown[0]!r}" if unknown else "no bucket"
        raise InvalidInput(f"{wrong} in the s3:// URL; options are {', '.join(_S3_OPTIONS)}", param="store")
    return ObjectsStore(_bucket(bucket, prefix, options), f"s3://{bucket}", attributes=True)


def open_bucket(bucket: str) -> S3Store:
    """A bucket by its name; address and credentials come from the usual ``AWS_…`` variables."""
    return _bucket(bucket, "", {})


def _bucket(bucket: str, prefix: str, options: dict[str, str]) -> S3Store:
    endpoint = options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config: S3Config = dict(options)  # type: ignore[assignment]
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=_client(allow_http=(endpoint or "").startswith("http://")),
        retry_config=_RETRIES,
    )


def _http(parts: SplitResult) -> Store:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.query or parts.fragment:
        raise InvalidInput("the store's address must be http://host:port or https://host/folder", param="store")
    where = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    client = _client(allow_http=parts.scheme == "http")
    if parts.username is not None:  # the library leaves out what stands before the @
        client["default_headers"] = {"Authorization": _basic(parts.username, parts.password or "")}
    try:
        objects = HTTPStore(f"{where}{parts.path}", client_options=client, retry_config=_RETRIES)
    except (BaseError, ValueError) as error:
        raise InvalidInput(
            f"the store's address {where} cannot be used: {type(error).__name__}", param="store"
        ) from error
    return ObjectsStore(objects, where, attributes=False, multipart=False, expires=True)


def _basic(name: str, password: str) -> str:
    """RFC 7617. Name and password come percent-encoded, as an address needs them."""
    pair = f"{unquote(name)}:{unquote(password)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _client(*, allow_http: bool) -> ClientConfig:
    return {"allow_http": allow_http, "connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
