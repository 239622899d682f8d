"""Saying no, gently: what is used up, when there is more, and what helps."""

from __future__ import annotations

import math

from modelpool.errors import QuotaExceeded, TooManyRequests
from modelpool_api.policy import Accounts
from modelpool_api.quota.balance import Balance

_OFFER = " A free account has an allowance of its own: POST /v1/accounts."
_WHOSE = {
    "visitor": "your allowance of {limit} units for today",
    "device": "the allowance of {limit} units a day of this browser in its network",
    "guest": "the allowance of {limit} units a day that all who send no cookie and fingerprint share in your network",
    "network": "the allowance of {limit} units a day of your network",
    "site": "the allowance of {limit} units a day of your provider's network",
    "account": "this key's allowance of {limit} units a day",
    "identity": "the number of accounts that one may make a day ({limit})",
    "accounts-network": "the number of accounts that may be made a day in your network ({limit})",
    "accounts-site": "the number of accounts that may be made a day in your provider's network ({limit})",
}


def offer(plan: str | None, accounts: Accounts) -> str:
    """A sentence for those who have no plan, where accounts are given out."""
    return _OFFER if plan is None and accounts.enabled else ""


class AllowanceUsedUp(QuotaExceeded):
    """A ceiling says no."""

    violated_policies = ("daily",)

    def __init__(self, balance: Balance, price: int, *, offer: str = "") -> None:
        whose = _WHOSE[balance.ceiling].format(limit=balance.limit)
        rest = f"; {balance.remaining} are left and this needs {price}" if balance.remaining else ""
        when = _human(balance.seconds_to_reset)
        super().__init__(
            f"{whose[0].upper()}{whose[1:]} is used up{rest}. It is new at 00:00 UTC, in {when}.{offer}",
            retry_after=balance.seconds_to_reset,
        )
        self.balance = balance
        # OpenAI's clients would otherwise try again and again until tomorrow.
        self.headers = {**balance.headers(), "x-should-retry": "false"}


class TooFast(TooManyRequests):
    """The burst rule says no."""

    violated_policies = ("burst",)

    def __init__(self, wait_ms: int, per_second: float, burst: int) -> None:
        seconds = max(1, math.ceil(wait_ms / 1000))
        super().__init__(
            f"Too many requests at one moment: {burst} at once and {per_second:g} a second are fine. "
            f"Try again in {seconds} s; nothing was charged.",
            retry_after=seconds,
        )
        self.headers = {
            "RateLimit-Policy": f'"burst";q={burst};w={max(1, math.ceil(burst / per_second))}',
            "RateLimit": f'"burst";r=0;t={seconds}',
        }


def _human(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
