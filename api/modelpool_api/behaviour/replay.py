"""The rules over a recorded log: what each would have refused, had it been enforced. Pure.

Counts are kept as ``evidence.lua`` keeps them, in plain Python and exact: a window begins with its first request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from modelpool.queue.rules import DAY_MS, HOUR_MS
from modelpool_api.behaviour.rules import MINUTE_MS, Evidence, Pattern, noticed, threshold, value
from modelpool_api.behaviour.sightings import Sighting
from modelpool_api.policy import Behaviour

_KEPT = 100_000
"""How many windows are kept before those that are over are thrown away."""


@dataclass(slots=True)
class _Window:
    ends: int
    count: int = 0
    members: set[str] = field(default_factory=set)


class Memory:
    """What has been seen so far."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._tidy_at = _KEPT

    def see(self, sighting: Sighting) -> Evidence:
        """Count one request; they come in the order of their times."""
        at = sighting.at
        rapid = self._counted(f"rapid:{sighting.who}", at, MINUTE_MS)
        same = self._counted(f"same:{sighting.words}", at, HOUR_MS)
        visitors = networks = 0
        if sighting.device is not None and sighting.visitor is not None and sighting.fingerprint is not None:
            visitors = self._gathered(f"device:{sighting.device}", sighting.visitor, at)
            networks = self._gathered(f"spread:{sighting.fingerprint}", sighting.network, at)
        return Evidence(rapid, same, visitors, networks)

    def _counted(self, name: str, at: int, life: int) -> int:
        window = self._window(name, at, life)
        window.count += 1
        return window.count

    def _gathered(self, name: str, member: str, at: int) -> int:
        window = self._window(name, at, DAY_MS)
        window.members.add(member)
        return len(window.members)

    def _window(self, name: str, at: int, life: int) -> _Window:
        window = self._windows.get(name)
        if window is not None and at < window.ends:
            return window
        if len(self._windows) >= self._tidy_at:
            self._windows = {name: window for name, window in self._windows.items() if at < window.ends}
            self._tidy_at = max(_KEPT, 2 * len(self._windows))
        window = self._windows[name] = _Window(at + life)
        return window


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that a rule would have refused, and how much had been seen of whoever sent it."""

    at: int
    who: str
    seen: int


@dataclass(slots=True)
class Refusals:
    """What one rule, or all together, would have refused."""

    limit: int | None = None
    requests: int = 0
    subjects: set[str] = field(default_factory=set)
    samples: list[Sample] = field(default_factory=list)
    """The first of each of the first few subjects."""


@dataclass(slots=True)
class Replayed:
    """What came of a log."""

    rules: dict[Pattern, Refusals]
    all_rules: Refusals = field(default_factory=Refusals)
    requests: int = 0
    subjects: set[str] = field(default_factory=set)
    first: int | None = None
    last: int | None = None


def replay(sightings: Iterable[Sighting], rules: Behaviour, samples: int = 3) -> Replayed:
    """What ``rules`` would have refused of ``sightings``, which come in the order of their times."""
    found = Replayed({pattern: Refusals(threshold(pattern, rules)) for pattern in Pattern})
    memory = Memory()
    for sighting in sightings:
        found.requests += 1
        found.subjects.add(sighting.who)
        found.first = sighting.at if found.first is None else found.first
        found.last = sighting.at
        evidence = memory.see(sighting)
        patterns = noticed(evidence, rules)
        for pattern in patterns:
            _refuse(found.rules[pattern], sighting, value(pattern, evidence), samples)
        if patterns:
            _refuse(found.all_rules, sighting, value(patterns[0], evidence), samples)
    return found


def _refuse(refusals: Refusals, sighting: Sighting, seen: int, samples: int) -> None:
    refusals.requests += 1
    if sighting.who not in refusals.subjects and len(refusals.samples) < samples:
        refusals.samples.append(Sample(sighting.at, sighting.who, seen))
    refusals.subjects.add(sighting.who)
