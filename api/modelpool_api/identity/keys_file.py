"""API keys from a local file, for those who need no database."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container, Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelpool.errors import InvalidInput
from modelpool.jobs import Lane

_PLAN_OF_LANE = {Lane.PAID: "paid", Lane.ACCOUNT: "account", Lane.ANONYMOUS: "account"}


class ApiKey(BaseModel):
    """One entry of the keys file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    key: str = Field(min_length=16, max_length=512, repr=False)
    lane: Lane = Lane.PAID
    plan: str | None = None

    @property
    def plan_name(self) -> str:
        """The plan as written, or the one called like the lane."""
        return self.plan or _PLAN_OF_LANE[self.lane]


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


def require_plans(keys: Iterable[ApiKey], plans: Container[str]) -> None:
    """Every key's plan is one of ``plans``.

    :raises InvalidInput: naming the key whose is not.
    """
    for entry in keys:
        if entry.plan_name not in plans:
            raise InvalidInput(
                f"the API key {entry.name!r} has the plan {entry.plan_name!r}, which the admission document lacks; "
                "add it there, or give the key another plan",
                param="apiKeys",
            )


class FileKeys:
    """Finds the entry of a key without telling by the time it takes how close a guess came."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._known = tuple((hashlib.sha256(entry.key.encode()).digest(), entry) for entry in keys)

    def find(self, key: str) -> ApiKey | None:
        """The entry with exactly this key."""
        offered = hashlib.sha256(key.encode()).digest()
        # Every entry is compared, so that the time says nothing about which one came close.
        matches = [entry for digest, entry in self._known if hmac.compare_digest(digest, offered)]
        return matches[0] if matches else None
