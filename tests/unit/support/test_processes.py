import os
from pathlib import Path

import pytest

from support.processes import MOST, cores, pytest_xdist_auto_num_workers


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores that the process is bound to."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


def version_2(folder: Path, limit: str) -> None:
    (folder / "cpu.max").write_text(f"{limit}\n")


def version_1(folder: Path, quota: int) -> None:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text("100000\n")


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 2), ("9900000 100000", 16)]
)
def test_a_quota_is_worth_so_many_cores(tmp_path: Path, limit: str, expected: int) -> None:
    version_2(tmp_path, limit)
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [(-1, 16), (400_000, 4), (10_000, 1)])
def test_an_older_container_has_its_quota_elsewhere(tmp_path: Path, quota: int, expected: int) -> None:
    version_1(tmp_path, quota)
    assert cores(tmp_path) == expected


def test_without_a_container_the_cores_that_one_is_bound_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert cores(tmp_path) == 3


def test_a_large_machine_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.processes.cores", lambda: 96)
    assert pytest_xdist_auto_num_workers() == MOST
