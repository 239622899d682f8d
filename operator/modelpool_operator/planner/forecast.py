"""How much demand is to be expected: short, pure formulas. Rates are jobs per second, times seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

BUCKET_SECONDS = 60.0
SHORT_WEIGHT = 1800.0
"""Seconds of evidence that the recent rate counts for, against LONG_WEIGHT of the long one."""
LONG_WEIGHT = 600.0
BURSTINESS = 0.6
"""Shape r of the negative binomial: traffic comes in bursts, a Poisson process would be r → ∞."""
DEVIATIONS = 3.0
"""Standard deviations above the mean that a load is expected to take."""


def recent_rate(counts: Sequence[float], window_seconds: float) -> float:
    """Exponentially weighted rate over one-minute counts, oldest first; time constant is half the window.

    ``w ← w·e^(−60/τ) + n·(1−e^(−60/τ))/60``
    """
    keep = math.exp(-BUCKET_SECONDS / (window_seconds / 2))
    rate = 0.0
    for count in counts:
        rate = rate * keep + count * (1 - keep) / BUCKET_SECONDS
    return rate


def mean_rate(counts: Sequence[int]) -> float:
    """Plain mean over one-minute counts."""
    return sum(counts) / (len(counts) * BUCKET_SECONDS) if counts else 0.0


def blended_rate(recent: float, long_term: float) -> float:
    """The recent rate, pulled towards the long one, so that one quiet or loud hour does not decide."""
    return (SHORT_WEIGHT * recent + LONG_WEIGHT * long_term) / (SHORT_WEIGHT + LONG_WEIGHT)


def forecast_error(jobs: float, expected: float) -> float:
    """How badly ``expected`` jobs foretold ``jobs``: half the Poisson deviance, ``n·ln(n/μ) − (n − μ)``; 0 is exact.

    What was held to be impossible and came all the same counts as if a hundredth of a job had been expected.
    """
    mean = max(expected, 0.01)
    return (jobs * math.log(jobs / mean) if jobs else 0.0) - (jobs - mean)


def chance_of_demand(rate: float, horizon: float) -> float:
    """Probability of at least one job within ``horizon`` seconds: ``1 − (1 + λH/r)^(−r)``."""
    return 1 - math.pow(1 + rate * horizon / BURSTINESS, -BURSTINESS)


def pessimistic(mean: float, deviation: float) -> float:
    """A duration that is rarely exceeded."""
    return mean + DEVIATIONS * deviation
