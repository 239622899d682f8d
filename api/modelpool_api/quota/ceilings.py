"""Which counters a subject's request is charged to, and how high each may go. Pure.

Names of counters are derived with the day's key: from Redis nobody learns an address or a fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.signals import Signals
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Accounts, AdmissionPolicy, AnonymousCeilings, Burst

ACCOUNT_PREFIX = "a:"
"""Of the counters that are kept for a month."""


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
    own = account_counter(subject.id)
    found = [Ceiling("account", own, plan.per_day)]
    if signals is not None:
        origin = signals.origin
        if plan.per_prefix is not None:
            counter = f"an:{today.name('plan', subject.plan, origin.prefix)}"
            found.append(Ceiling("network", counter, plan.per_prefix))
        if plan.per_site is not None and origin.site is not None:
            found.append(Ceiling("site", f"as:{today.name('plan', subject.plan, origin.site)}", plan.per_site))
        if plan.lane == "account":
            # Who has used an account today has had the anonymous allowance too.
            found += [Ceiling(each.name, each.counter, None) for each in _personal(signals, today, policy.anonymous)]
    return Allowance(tuple(found), plan.burst, own)


def anonymous(signals: Signals, today: DayKey, limits: AnonymousCeilings) -> tuple[Ceiling, ...]:
    """The ceilings for somebody without credentials, the narrowest first."""
    origin = signals.origin
    found = [*own_anonymous(signals, today, limits)]
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
    found.append(Ceiling("accounts-network", f"new:n:{today.name('network', origin.prefix)}", rules.per_prefix))
    if origin.site is not None:
        found.append(Ceiling("accounts-site", f"new:s:{today.name('site', origin.site)}", rules.per_site))
    return tuple(found)


def own_anonymous(signals: Signals, today: DayKey, limits: AnonymousCeilings) -> tuple[Ceiling, ...]:
    """The ceilings that are as near to one person as the signals tell."""
    found = _personal(signals, today, limits)
    if not signals.complete:
        counter = f"g:{today.name('guest', signals.origin.prefix)}"
        found.append(Ceiling("guest", counter, limits.prefix_without_signals))
    return tuple(found)


def taken_over(signals: Signals, today: DayKey, limits: AnonymousCeilings) -> tuple[Ceiling, ...]:
    """What somebody's new account begins with and takes over; without a limit what they share with others."""
    found = own_anonymous(signals, today, limits)
    return tuple(replace(ceiling, limit=None) if ceiling.name == "guest" else ceiling for ceiling in found)


def account_counter(subject: str) -> str:
    """The counter of a key's holder. It is no secret who that is: the id is random, and usage is looked up by it."""
    return f"{ACCOUNT_PREFIX}{subject}"


def _personal(signals: Signals, today: DayKey, limits: AnonymousCeilings) -> list[Ceiling]:
    """What belongs to one person or device rather than to a network."""
    found = []
    if signals.visitor is not None:
        found.append(Ceiling("visitor", f"c:{today.name('cookie', signals.visitor.id)}", limits.cookie))
    if signals.fingerprint is not None:
        counter = f"d:{today.name('device', signals.fingerprint, signals.origin.prefix)}"
        found.append(Ceiling("device", counter, limits.fingerprint_and_prefix))
    return found
