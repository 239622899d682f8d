"""One request as the rules look at it, and how it is written down. Pure.

Everything in it is a name of the day, derived with a secret: it tells the same visitor again today, and nobody tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from modelpool.errors import InvalidInput
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.signals import Signals

VERSION = 1
_YEAR_10000_MS = 253_402_300_800_000
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Sighting:
    """A request of somebody without credentials."""

    at: int
    """Unix milliseconds."""
    who: str
    """The visitor, device or network that is asked to be counted as one."""
    words: str
    """That one, and the words and options asked for."""
    network: str
    device: str | None = None
    """The fingerprint in its network; None without a fingerprint."""
    fingerprint: str | None = None
    visitor: str | None = None
    """The cookie; of a request without one, a name of its own. None without a fingerprint."""


def sighting_of(today: DayKey, at: int, subject: str, signals: Signals, words: str, request: str) -> Sighting:
    """What the rules see of one request for ``words`` by ``subject``, a name of the day. ``request`` is an id of its own."""
    asked, network = today.name("same", subject, words), today.name("network", signals.origin.prefix)
    if signals.fingerprint is None:
        return Sighting(at, subject, asked, network)
    cookie = signals.visitor.id if signals.visitor is not None else None
    return Sighting(
        at,
        subject,
        asked,
        network,
        device=today.name("device", signals.fingerprint, signals.origin.prefix),
        fingerprint=today.name("spread", signals.fingerprint),
        visitor=today.name("cookie", cookie) if cookie is not None else today.name("request", request),
    )


class BrokenLine(InvalidInput):
    """A line that was not written by us, or not to its end."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"line {number} {why}")
        self.number = number


def to_line(sighting: Sighting) -> str:
    """One line of a log, without its end."""
    known = {name: value for name, value in asdict(sighting).items() if value is not None}
    return json.dumps({"v": VERSION, **known}, separators=(",", ":"))


def read_lines(lines: Iterable[str]) -> Iterator[Sighting | BrokenLine]:
    """What the lines say, in their order; a broken one comes out as what is wrong with it. Empty ones are passed over."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _read(number, line)


_NEEDED = ("who", "words", "network")
_OPTIONAL = ("device", "fingerprint", "visitor")


def _read(number: int, line: str) -> Sighting | BrokenLine:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return BrokenLine(number, "is no JSON: it was cut off, or is of another log")
    if not isinstance(found, dict):
        return BrokenLine(number, "is no JSON object")
    if found.get("v") != VERSION:
        return BrokenLine(number, f"has the version {found.get('v')!r}; this program reads version {VERSION}")
    at = found.get("at")
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < _YEAR_10000_MS:
        return BrokenLine(number, "lacks 'at', the time in Unix milliseconds")
    for name in (*_NEEDED, *(name for name in _OPTIONAL if name in found)):
        value = found.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
            return BrokenLine(number, f"lacks {name!r}, a name of at most {_LONGEST} characters")
    return Sighting(at=at, **{name: found[name] for name in (*_NEEDED, *_OPTIONAL) if name in found})
