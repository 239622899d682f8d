from pathlib import Path

from modelpool.resources.load import parse_pool
from modelpool_local.memory import SERVICE_BYTES, _cgroup_rest, _meminfo_available, estimate

MIB = 2**20
POOL = """
apiVersion: modelpool.dev/v1alpha1
kind: ModelPool
metadata: {{name: p}}
spec:
  gpu: {{vram: 100Mi}}
  hostMemory: {host}
  workerOverhead: 10Mi
  worker: {{device: {device}}}
  tiers:
  - name: one
    policy: Rotate
    slots: 2
    models:
    - {{name: a, source: {{uri: "file:///models/a"}}, weights: 40Mi, activations: 20Mi}}
    - {{name: b, source: {{uri: "file:///models/b"}}, weights: 60Mi, activations: 30Mi}}
"""


def needs(device: str, host: str = "64Gi") -> tuple[int, int, int]:
    need = estimate(parse_pool(POOL.format(device=device, host=host), "test").spec)
    return need.service, need.overhead // MIB, need.models // MIB


def test_on_a_cpu_hot_models_are_in_host_memory_too() -> None:
    # Per slot: both models hot or warm (100), and the larger activations (30).
    assert needs("cpu") == (SERVICE_BYTES, 20, 2 * 130)


def test_on_a_cpu_budgets_bound_what_a_slot_holds() -> None:
    # Per slot: VRAM full (100) and the warm budget (10).
    assert needs("cpu", host="10Mi") == (SERVICE_BYTES, 20, 2 * 110)


def test_on_a_gpu_only_warm_weights_are_in_host_memory() -> None:
    assert needs("cuda") == (SERVICE_BYTES, 20, 2 * 100)


def test_available_memory_is_read_from_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       24000000 kB\nMemAvailable:   21000000 kB\n")
    assert _meminfo_available(file) == 21_000_000 * 1024


def test_a_control_group_leaves_its_limit_minus_its_usage(tmp_path: Path) -> None:
    limit, usage, unlimited = tmp_path / "max", tmp_path / "current", tmp_path / "unlimited"
    limit.write_text("1000\n")
    usage.write_text("400\n")
    unlimited.write_text("max\n")
    absent = tmp_path / "absent"
    assert _cgroup_rest(((limit, usage), (unlimited, usage), (absent, absent))) == [600]
