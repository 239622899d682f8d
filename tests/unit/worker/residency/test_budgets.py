from __future__ import annotations

import pytest

from modelpool_worker.residency.budgets import Budget, Needs, hot_bytes


def test_weights_add_up_and_only_the_largest_activations_count() -> None:
    assert hot_bytes([Needs(10, 5), Needs(20, 3)]) == 35
    assert hot_bytes([]) == 0


@pytest.mark.parametrize(("vram", "fits"), [(35, True), (34, False)])
def test_hot_models_need_vram(vram: int, fits: bool) -> None:
    assert Budget(vram, 0).fits_hot([Needs(10, 5), Needs(20, 3)]) is fits


@pytest.mark.parametrize(("host", "fits"), [(30, True), (29, False)])
def test_warm_models_need_host_memory_for_their_weights_only(host: int, fits: bool) -> None:
    assert Budget(0, host).fits_warm([Needs(10, 500), Needs(20, 300)]) is fits
