"""The four patterns, each a small rule over what has been seen lately. Pure.

None of them proves anything, so the answer is never a ban: a gentle refusal for a while, with the offer of an account,
and only where the mode is ``enforce``. In ``shadow`` they are counted and nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from modelpool.errors import UnusualUse
from modelpool_api.policy import Behaviour


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


_RULES: tuple[tuple[Pattern, Callable[[Evidence], int], Callable[[Behaviour], int | None]], ...] = (
    (Pattern.RAPID, lambda seen: seen.in_a_minute, lambda rules: rules.rapid_per_minute),
    (Pattern.IDENTICAL, lambda seen: seen.identical_in_an_hour, lambda rules: rules.identical_per_hour),
    (Pattern.CLEARED_COOKIES, lambda seen: seen.visitors_of_device, lambda rules: rules.visitors_per_device),
    (Pattern.MANY_NETWORKS, lambda seen: seen.networks_of_fingerprint, lambda rules: rules.networks_per_fingerprint),
)


def noticed(seen: Evidence, rules: Behaviour) -> tuple[Pattern, ...]:
    """The patterns that ``seen`` shows, the one that passes soonest first."""
    found = []
    for pattern, value, threshold in _RULES:
        limit = threshold(rules)
        if limit is not None and value(seen) > limit:
            found.append(pattern)
    return tuple(found)


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
    """The gentle answer. ``offer`` is a sentence that says how to get an account."""

    violated_policies = ("behaviour",)

    def __init__(self, pattern: Pattern, offer: str) -> None:
        words, seconds = _WORDS[pattern]
        super().__init__(
            f"{words} If that is you, take a break and come back; nothing was charged, and nothing is held against you."
            f"{offer}",
            retry_after=seconds,
        )
        self.pattern = pattern
