"""What a generation costs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from modelpool.documents import Spent
from modelpool.resources.status import CostStatus

_SECONDS_PER_HOUR = 3600


def cost_of(spent: Iterable[Spent], gpu_hour_usd: Decimal) -> CostStatus | None:
    """The price of a picture or video over the last hour of all slots, idle time and loads included.

    ``perGenerationUSD = Σ seconds / 3600 × gpuHourUSD / generations``; ``usefulShare`` is the part of the seconds in
    which something was generated. Two digits each. None when nothing was generated.
    """
    listed = list(spent)
    seconds, generations = sum(each.seconds for each in listed), sum(each.generations for each in listed)
    if not generations or not seconds:
        return None
    dollars = gpu_hour_usd * Decimal(seconds) / _SECONDS_PER_HOUR / generations
    return CostStatus(
        per_generation_usd=f"{Decimal(f'{dollars:.2g}'):f}",
        useful_share=float(f"{sum(each.generate for each in listed) / seconds:.2g}"),
    )
