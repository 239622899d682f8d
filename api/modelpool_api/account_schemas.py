"""What accounts and keys look like outside."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpool.jobs import Lane
from modelpool_api.schemas import Shown, Strict, Whole


class AccountView(Shown):
    """A new account."""

    id: str
    key: str = Field(description="Shown once and kept nowhere: write it down.", repr=False)
    lane: Lane
    plan: str
    limit: int = Field(description="Units a UTC day.")
    remaining: int = Field(description="Of today: what was used without an account counts.")


class NewKeyBody(Strict):
    """What the admin API takes to issue a key."""

    name: str = Field(min_length=1, max_length=63, description="For people.", examples=["studio"])
    plan: str = Field("paid", max_length=40, description="One of the admission document's plans.")


class RotateBody(Strict):
    """How a key is rotated."""

    grace_seconds: Whole = Field(86_400, ge=0, le=30 * 86_400, description="How long the old secret still works.")


class KeyView(Shown):
    """An issued key."""

    id: str
    name: str
    kind: Literal["account", "issued"]
    plan: str
    created_at: str
    key: str | None = Field(None, description="Only when it was just made: shown once.", repr=False)
    previous_until: str | None = Field(None, description="Until when an earlier secret works.")


class KeyList(Shown):
    """Issued keys, oldest first."""

    data: tuple[KeyView, ...]


class KeyUsage(Shown):
    """What a key has used."""

    id: str
    plan: str
    limit: int = Field(description="Units a UTC day.")
    used: int = Field(description="Today.")
    remaining: int
    resets_at: str
    days: dict[str, int] = Field(description="Units by UTC day, of those on which there were any.")
