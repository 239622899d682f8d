import pytest

from modelpool_local.gpus import GpuShare, parse_list

LISTING = """\
GPU 0: NVIDIA H200 (UUID: GPU-aaaa)
GPU 1: NVIDIA H200 (UUID: GPU-bbbb)
  MIG 1g.18gb     Device  0: (UUID: MIG-1111)
  MIG 1g.18gb     Device  1: (UUID: MIG-2222)
"""


def test_a_gpu_cut_into_mig_devices_counts_as_these() -> None:
    assert parse_list(LISTING) == ["GPU-aaaa", "MIG-1111", "MIG-2222"]


def test_a_driver_without_devices_lists_none() -> None:
    assert parse_list("No devices found.\n") == []


def test_a_slot_keeps_its_gpu_and_others_get_other_ones() -> None:
    share = GpuShare(["x", "y"])
    assert [share.take("a"), share.take("b"), share.take("a")] == ["x", "y", "x"]


def test_a_gpu_given_back_is_free_and_a_pool_without_free_ones_says_so() -> None:
    share = GpuShare(["x"])
    share.take("a")
    with pytest.raises(RuntimeError, match="no GPU is free"):
        share.take("b")
    share.give_back("a")
    assert share.take("b") == "x"
