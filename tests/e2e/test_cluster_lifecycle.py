"""The test cluster comes, goes, and leaves nothing behind; looked for without its own code."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster, ClusterError
from cluster.kubectl import holds
from cluster.layout import Layout
from support.pods import pod
from support.waiting import block_until

SECONDS = 240.0
TESTS = Path(__file__).parents[1]


@pytest.fixture
def layout(cluster: Cluster, tmp_path: Path) -> Iterator[Layout]:
    """A second cluster beside the one that is up; ended afterwards whatever happens."""
    second = Layout(tmp_path / "second", cluster.layout.cache)
    yield second
    Cluster.down(second)


def everything(layout: Layout) -> list[str]:
    """What the machine shows of this cluster: in /proc, /sys, and the tables of the network."""
    found = []
    needle = str(layout.state)
    for process in Path("/proc").iterdir():
        for file in ("cmdline", "environ", "mountinfo") if process.name.isdigit() else ():
            try:
                if needle in (process / file).read_text(errors="replace"):
                    found.append(f"{process / file}: {(process / 'cmdline').read_text()[:80]!r}")
            except OSError:
                continue
    found += [str(folder) for folder, _, _ in os.walk("/sys/fs/cgroup") if layout.key in folder]
    for table in ("link", "route", "netns"):
        lines = subprocess.run(["ip", table], capture_output=True, text=True, check=True).stdout.splitlines()
        found += [line for line in lines if layout.key in line]
    found += [str(path) for path in layout.state.parent.iterdir() if path != layout.lock]
    return found


def command(layout: Layout, name: str) -> list[str]:
    """The command line that a person would use."""
    return [sys.executable, "-m", "cluster", f"--state={layout.state}", f"--cache={layout.cache}", name]


def stray_network_namespaces() -> set[str]:
    """Names of network namespaces that the host can see; containers have theirs there when nobody hides them."""
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir() if path.name.startswith("cni-")} if folder.exists() else set()


@pytest.mark.budget(90)
def test_a_cluster_with_pods_goes_down_and_leaves_nothing_and_another_does_not_notice(
    cluster: Cluster, layout: Layout
) -> None:
    namespaces = stray_network_namespaces()
    second = Cluster.up(layout)
    second.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    second.kubectl.apply(pod("one", gpus=1), pod("two", node="node-2"))
    second.kubectl("wait", "--for=condition=Ready", "pod/one", "pod/two", "--timeout=180s", seconds=200)
    assert everything(layout)

    Cluster.down(layout)

    assert everything(layout) == []
    assert stray_network_namespaces() == namespaces
    assert all(holds(node, "Ready") for node in cluster.kubectl.list("nodes"))


@pytest.mark.budget(60)
def test_what_a_killed_start_left_is_cleared_away(layout: Layout) -> None:
    starting = subprocess.Popen(command(layout, "up"), cwd=TESTS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        block_until((layout.logs / "node-2.containerd.log").exists, SECONDS)
    finally:
        starting.send_signal(signal.SIGKILL)
        starting.wait()
    assert everything(layout)
    with pytest.raises(ClusterError, match="run make cluster-up"):
        Cluster.attach(layout)

    ended = subprocess.run(command(layout, "down"), cwd=TESTS, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert everything(layout) == []


@pytest.mark.budget(10)
def test_up_says_that_the_cluster_is_up_already_and_down_that_none_is(cluster: Cluster, layout: Layout) -> None:
    up = subprocess.run(command(cluster.layout, "up"), cwd=TESTS, capture_output=True, text=True, check=False)
    assert "already up" in up.stderr
    assert f"export KUBECONFIG={cluster.layout.kubeconfig}" in up.stdout
    down = subprocess.run(command(layout, "down"), cwd=TESTS, capture_output=True, text=True, check=False)
    assert (down.returncode, "no cluster is up" in down.stderr) == (0, True)
