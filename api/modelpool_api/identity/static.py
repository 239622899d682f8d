"""Subjects without a database: API keys from a local file, everybody else anonymous by address."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import HTTPConnection

from modelpool.errors import InvalidInput, Unauthenticated
from modelpool.jobs import Lane
from modelpool_api.identity.subject import Subject


class ApiKey(BaseModel):
    """One entry of the keys file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    key: str = Field(min_length=16, max_length=512, repr=False)
    lane: Lane = Lane.PAID


class ApiKeysFile(BaseModel):
    """The keys file: YAML or JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[ApiKey, ...] = ()


def read_api_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file such as ``keys: [{name: studio, key: …, lane: paid}]``.

    :raises InvalidInput: unreadable, or not of that form; the message repeats no key.
    """
    try:
        found = ApiKeysFile.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise InvalidInput(f"the API keys file {path} cannot be read: {error.strerror}", param="apiKeys") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InvalidInput(f"the API keys file {path} is no YAML", param="apiKeys") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidInput(f"the API keys file {path}: {where}: {first['msg']}", param="apiKeys") from None
    names = [entry.name for entry in found.keys]
    if len(set(names)) != len(names):
        raise InvalidInput(f"the API keys file {path} names a key twice", param="apiKeys")
    return found.keys


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    subject: Subject


class StaticSubjectResolver:
    """Bearer key → its lane; no key → anonymous by network prefix, known only by a keyed hash."""

    def __init__(self, keys: Iterable[ApiKey] = (), secret: str = "") -> None:
        self._known = tuple(_Known(_digest(entry.key), Subject(f"key:{entry.name}", entry.lane)) for entry in keys)
        self._secret = secret.encode()

    async def resolve(self, connection: HTTPConnection) -> Subject:
        """See :class:`modelpool_api.identity.subject.SubjectResolver`."""
        header = connection.headers.get("authorization")
        if header is not None:
            return self._by_key(header)
        address = connection.client.host if connection.client is not None else ""
        name = hmac.new(self._secret, network_prefix(address).encode(), hashlib.sha256).hexdigest()[:24]
        return Subject(f"ip:{name}", Lane.ANONYMOUS)

    def _by_key(self, header: str) -> Subject:
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated("write the key as 'Authorization: Bearer <key>', or leave the header away")
        offered = _digest(key.strip())
        # Every entry is compared, so that the time says nothing about which one came close.
        matches = [known.subject for known in self._known if hmac.compare_digest(known.digest, offered)]
        if not matches:
            raise Unauthenticated("this API key is not known here: check it, or leave the Authorization header away")
        return matches[0]


def network_prefix(address: str) -> str:
    """What one household shares: an IPv4 address, an IPv6 /64; an IPv4 address in IPv6 clothes counts as IPv4."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
