"""A pytest plugin: `-n auto` runs the tests in as many processes as there are cores for this one."""

import math
import os
from pathlib import Path

MOST = 8
"""More would wait for the longest test, and each takes memory for torch and for the servers that it starts."""

CGROUPS = Path("/sys/fs/cgroup")


def cores(cgroups: Path = CGROUPS) -> int:
    """How many cores this process may use, at least 1: those it is bound to, and what the container's quota is worth."""
    bound = len(os.sched_getaffinity(0))
    return max(1, min(bound, math.ceil(_quota(cgroups) or bound)))


def _quota(cgroups: Path) -> float | None:
    """Cores that a container's quota is worth, by version 2 of the control groups or else 1; None: it has none."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except FileNotFoundError:
        try:
            quota, period = ((cgroups / "cpu" / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period"))
        except FileNotFoundError:
            return None
    return int(quota) / int(period) if quota != "max" and int(quota) > 0 else None


def pytest_xdist_auto_num_workers() -> int:
    """Pytest-xdist asks; by itself it would count cores that others have, or count two that are one twice as one."""
    return min(cores(), MOST)
