"""Which counters a subject's request is charged to, and how high each may go. Pure.

Names of counters are derived with the day's key: from Redis nobody learns an address or a fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.signals import Signals
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Accounts, AdmissionPolicy, AnonymousCeilings, Burst


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One counter of the day. ``limit`` None: it is counted, and never says no."""

    name: str
    """For people and headers: visitor, device, guest, network, site, account."""
    counter: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """All that one request is charged to, and the burst rule with the counter that it is kept under."""

    ceilings: tuple[Ceiling, ...]
    burst: Burst
    burst_counter: str


def allowance(subject: Subject, today: DayKey, policy: AdmissionPolicy) -> Allowance:
    """What ``subject`` may take today.

    :raises KeyError: the subject's plan does not exist.
    """
    signals = subject.signals
    if subject.plan is None:
        if signals is None:
            raise ValueError("an anonymous subject has signals")
        network = today.name("network", signals.origin.prefix)
        return Allowance(anonymous(signals, today, policy.anonymous), policy.anonymous.burst, f"n:{network}")
    plan = policy.plans[subject.plan]
    own = today.name("account", subject.id)
    found = [Ceiling("account", f"a:{own}", plan.per_day)]
    if signals is not None:
        origin = signals.origin
        if plan.per_prefix is not None:
            counter = f"an:{today.name('plan', subject.plan, origin.prefix)}"
            found.append(Ceiling("network", counter, plan.per_prefix))
        if plan.per_site is not None and origin.site is not None:
            found.append(Ceiling("site", f"as:{today.name('plan', subject.plan, origin.site)}", plan.per_site))
        if plan.lane == "account":
            # Who has used an account today has had the anonymous allowance too.
            found += [Ceiling(c.name, c.counter, None) for c in _own(signals, today, policy.anonymous)]
    return Allowance(tuple(found), plan.burst, f"a:{own}")


def anonymous(signals: Signals, today: DayKey, limits: AnonymousCeilings) -> tuple[Ceiling, ...]:
    """The ceilings for somebody without credentials, the narrowest first."""
    origin = signals.origin
    found = [*_own(signals, today, limits)]
    if not signals.complete:
        found.append(Ceiling("guest", f"g:{today.name('guest', origin.prefix)}", limits.prefix_without_signals))
    found.append(Ceiling("network", f"n:{today.name('network', origin.prefix)}", limits.prefix))
    if origin.site is not None:
        found.append(Ceiling("site", f"s:{today.name('site', origin.site)}", limits.site))
    return tuple(found)


def new_account(signals: Signals, today: DayKey, rules: Accounts) -> tuple[Ceiling, ...]:
    """The ceilings on making accounts: one a day for each thing that somebody is known by, a few for a network."""
    origin = signals.origin
    who = [f"c:{today.name('cookie', signals.visitor.id)}"] if signals.visitor is not None else []
    if signals.fingerprint is not None:
        who.append(f"d:{today.name('device', signals.fingerprint, origin.prefix)}")
    if not signals.complete:
        who.append(f"g:{today.name('guest', origin.prefix)}")
    found = [Ceiling("identity", f"new:{counter}", rules.per_identity) for counter in who]
    found.append(Ceiling("network", f"new:n:{today.name('network', origin.prefix)}", rules.per_prefix))
    if origin.site is not None:
        found.append(Ceiling("site", f"new:s:{today.name('site', origin.site)}", rules.per_site))
    return tuple(found)


def _own(signals: Signals, today: DayKey, limits: AnonymousCeilings) -> list[Ceiling]:
    """What belongs to one person or device rather than to a network."""
    found = []
    if signals.visitor is not None:
        found.append(Ceiling("visitor", f"c:{today.name('cookie', signals.visitor.id)}", limits.cookie))
    if signals.fingerprint is not None:
        counter = f"d:{today.name('device', signals.fingerprint, signals.origin.prefix)}"
        found.append(Ceiling("device", counter, limits.fingerprint_and_prefix))
    return found
