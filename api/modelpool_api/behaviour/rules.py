"""The four patterns, each a small rule over what has been seen lately. Pure.

None of them proves anything, so the answer is never a ban: a gentle refusal for a while, with the offer of an account,
and only where the mode is ``enforce``. In ``shadow`` they are counted and nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelpool.errors import UnusualUse
from modelpool_api.policy import Behaviour

MINUTE_MS = 60_000


class Pattern(StrEnum):
    """What was noticed; the label ``pattern`` of ``modelpool_unusual_use_total``."""

    RAPID = "rapid"
    IDENTICAL = "identical"
    CLEARED_COOKIES = "cleared_cookies"
    MANY_NETWORKS = "many_networks"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of whoever asks, this request included. Of those without a fingerprint the last two are 0."""

    in_a_minute: int = 0
    """Requests of this visitor, device or network within a minute."""
    identical_in_an_hour: int = 0
    """Of them, those for the same words and options within an hour."""
    visitors_of_device: int = 0
    """Different cookies, and requests without one, with this fingerprint in this network today; about."""
    networks_of_fingerprint: int = 0
    """Networks in which this fingerprint was seen today; about."""


_RULES: Mapping[Pattern, tuple[Callable[[Evidence], int], Callable[[Behaviour], int | None]]] = {
    Pattern.RAPID: (lambda seen: seen.in_a_minute, lambda rules: rules.rapid_per_minute),
    Pattern.IDENTICAL: (lambda seen: seen.identical_in_an_hour, lambda rules: rules.identical_per_hour),
    Pattern.CLEARED_COOKIES: (lambda seen: seen.visitors_of_device, lambda rules: rules.visitors_per_device),
    Pattern.MANY_NETWORKS: (lambda seen: seen.networks_of_fingerprint, lambda rules: rules.networks_per_fingerprint),
}


def noticed(seen: Evidence, rules: Behaviour) -> tuple[Pattern, ...]:
    """The patterns that ``seen`` shows, the one that passes soonest first."""
    found = []
    for pattern in _RULES:
        limit = threshold(pattern, rules)
        if limit is not None and value(pattern, seen) > limit:
            found.append(pattern)
    return tuple(found)


def value(pattern: Pattern, seen: Evidence) -> int:
    """What the rule of ``pattern`` looks at."""
    return _RULES[pattern][0](seen)


def threshold(pattern: Pattern, rules: Behaviour) -> int | None:
    """Up to where that is usual; None: the rule is off."""
    return _RULES[pattern][1](rules)


HOW = (
    "To go on at once, solve the challenge in this answer (ALTCHA, a moment of computing) and send the request again with "
    "the solution as Modelpool-Solution."
)
_WORDS = {
    Pattern.RAPID: ("You are very quick today: so many requests in a minute look like a program's.", 60),
    Pattern.IDENTICAL: ("You have asked for the very same many times; its pictures are there already.", 3_600),
    Pattern.CLEARED_COOKIES: (
        "Your browser comes without its cookie again and again, so we cannot tell it apart.",
        3_600,
    ),
    Pattern.MANY_NETWORKS: ("A browser just like yours comes from very many networks today.", 3_600),
}


class LooksUnusual(UnusualUse):
    """The gentle answer. ``offer`` is a sentence that says how to get an account.

    With a ``challenge`` it says how to go on at once; ``why_not`` is what was wrong with the solution that came.
    """

    violated_policies = ("behaviour",)

    def __init__(
        self,
        pattern: Pattern,
        offer: str,
        *,
        challenge: Mapping[str, Any] | None = None,
        why_not: str | None = None,
    ) -> None:
        words, seconds = _WORDS[pattern]
        cure = "If that is you, take a break and come back" if challenge is None else f"{HOW} Or take a break"
        super().__init__(
            f"{why_not or words} {cure}; nothing was charged, and nothing is held against you.{offer}",
            retry_after=seconds,
        )
        self.pattern = pattern
        self.challenge = challenge
