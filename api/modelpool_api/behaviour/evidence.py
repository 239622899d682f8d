"""What is counted in Redis of whoever asks: for an hour or a day, under names of the day, with the units that are taken."""

from __future__ import annotations

from modelpool.queue.rules import DAY_MS, HOUR_MS
from modelpool_api.behaviour.rules import MINUTE_MS, Pattern, threshold
from modelpool_api.behaviour.sightings import Sighting
from modelpool_api.policy import Behaviour
from modelpool_api.quota.ledger import Seen


def counted(sighting: Sighting, rules: Behaviour) -> tuple[Seen, ...]:
    """What to count, in the order of :class:`modelpool_api.behaviour.rules.Evidence`; with limits where they are enforced."""

    def limit(pattern: Pattern) -> int | None:
        return threshold(pattern, rules) if rules.mode == "enforce" else None

    found = (
        Seen(f"rapid:{sighting.who}", MINUTE_MS, limit(Pattern.RAPID)),
        Seen(f"same:{sighting.words}", HOUR_MS, limit(Pattern.IDENTICAL)),
    )
    if sighting.device is None or sighting.visitor is None:
        return found
    return (
        *found,
        Seen(f"device:{sighting.device}", DAY_MS, limit(Pattern.CLEARED_COOKIES), sighting.visitor),
        Seen(f"spread:{sighting.fingerprint}", DAY_MS, limit(Pattern.MANY_NETWORKS), sighting.network),
    )
