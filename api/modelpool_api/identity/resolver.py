"""From a request to its subject: credentials where there are any, else what the weak signals say."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.requests import HTTPConnection

from modelpool.errors import Unauthenticated
from modelpool.jobs import Lane
from modelpool_api.header_values import header_values
from modelpool_api.identity.cookie import is_due, make_cookie, set_cookie
from modelpool_api.identity.days import Days
from modelpool_api.identity.keys_file import FileKeys
from modelpool_api.identity.ring import DayKey, SecretRing
from modelpool_api.identity.signals import Heard, Signals, read_signals
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import AdmissionPolicy


class Credentials(Protocol):
    """Keys of one kind, or tokens."""

    async def find(self, key: str) -> Subject | None:
        """The subject that holds exactly this key; None when it is not one of these.

        :raises Unauthenticated: it is one of these, and good no more.
        """
        ...


def new_visitor() -> str:
    """128 random bits in base64."""
    return secrets.token_urlsafe(16)


class SignalSubjectResolver:
    """Implements :class:`modelpool_api.identity.subject.SubjectResolver`. ``now`` in Unix seconds."""

    def __init__(
        self,
        policy: AdmissionPolicy,
        ring: SecretRing,
        days: Days,
        *,
        file_keys: FileKeys | None = None,
        credentials: Sequence[Credentials] = (),
        now: Callable[[], float] = time.time,
        root_path: str = "",
    ) -> None:
        self._policy = policy
        self._ring = ring
        self._days = days
        self._file_keys = file_keys or FileKeys()
        self._credentials = credentials
        self._now = now
        self._path = root_path

    async def resolve(self, connection: HTTPConnection) -> Subject:
        """See :class:`modelpool_api.identity.subject.SubjectResolver`."""
        now = int(self._now())
        signals = read_signals(heard(connection), now, self._ring, self._policy.identity)
        authorization = header_values(connection).get("authorization")
        if authorization is not None:
            known = await self._by_credentials(authorization)
            return Subject(known.id, known.lane, known.plan, repeats=known.id, signals=signals)
        today = await self._days.today()
        return Subject(
            anonymous_id(signals, today),
            Lane.ANONYMOUS,
            repeats=today.name("device", signals.fingerprint or "", signals.origin.prefix),
            signals=signals,
            set_cookie=self._cookie_for(signals, now),
        )

    async def _by_credentials(self, header: str) -> Subject:
        scheme, _, rest = header.partition(" ")
        key = rest.strip()
        if scheme.lower() != "bearer" or not key:
            raise Unauthenticated("write the key as 'Authorization: Bearer <key>', or leave the header away")
        entry = self._file_keys.find(key)
        if entry is not None:
            return Subject(f"key:{entry.name}", entry.lane, entry.plan_name)
        for kept in self._credentials:
            if (found := await kept.find(key)) is not None:
                return found
        raise Unauthenticated("this API key is not known here: check it, or leave the Authorization header away")

    def _cookie_for(self, signals: Signals, now: int) -> str | None:
        visitor = signals.visitor
        rules = self._policy.identity.cookie
        if visitor is not None and not is_due(visitor, now, rules):
            return None
        value = make_cookie(visitor.id if visitor is not None else new_visitor(), now, self._ring)
        return set_cookie(value, rules, path=self._path, https=signals.https)


def anonymous_id(signals: Signals, today: DayKey) -> str:
    """The narrowest thing that is known of somebody without credentials."""
    if signals.visitor is not None:
        return f"visitor:{today.name('cookie', signals.visitor.id)}"
    if signals.fingerprint is not None:
        return f"device:{today.name('device', signals.fingerprint, signals.origin.prefix)}"
    return f"guest:{today.name('guest', signals.origin.prefix)}"


def heard(connection: HTTPConnection) -> Heard:
    """The parts of a connection that signals are read from."""
    return Heard(
        peer=connection.client.host if connection.client is not None else "",
        scheme=str(connection.scope.get("scheme", "http")),
        headers=header_values(connection),
        forwarded_for=[
            value.decode("latin-1") for name, value in connection.scope["headers"] if name == b"x-forwarded-for"
        ],
        cookies=connection.cookies,
    )
