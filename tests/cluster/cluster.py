"""The whole cluster: up, down, and what tests do with it."""

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cluster import addons, cgroups, processes
from cluster.build import Programs, build_programs, find_programs
from cluster.certificates import Authority
from cluster.control_plane import ControlPlane
from cluster.dependencies import require_host
from cluster.errors import ClusterError
from cluster.kubectl import Kubectl
from cluster.layout import NODES, Layout
from cluster.leftovers import cluster_pids, leftovers
from cluster.network import Addresses, connect_node, free_addresses, lay_bridge
from cluster.node import PAUSE_IMAGE, Node
from cluster.oci import write_busybox_image, write_program_image
from cluster.progress import Report, silent

GPUS = 7
BUSYBOX_IMAGE = "docker.io/modelpool-test/busybox:1"
PROMETHEUS_IMAGE = "docker.io/modelpool-test/prometheus:1"
END_SECONDS = 30


class Cluster:
    """A cluster that is up."""

    def __init__(self, layout: Layout, addresses: Addresses, programs: Programs) -> None:
        self.layout = layout
        self.addresses = addresses
        self.programs = programs
        self.control_plane = ControlPlane(layout, addresses, programs)
        self.nodes = {name: Node(name, layout, addresses, programs) for name in NODES}
        self.kubectl = Kubectl(programs["kubectl"], layout.kubeconfig)

    @classmethod
    def up(cls, layout: Layout, report: Report = silent) -> "Cluster":
        """The cluster of this layout: the one that is up, or a new one in place of what a failed start left.

        Raises ClusterError when the machine lacks something, or a part does not come up; what was started stays for a look at it, until `down`.
        """
        require_host(layout)
        programs = build_programs(layout.cache, report)
        with _alone(layout):
            if (cluster := cls._running(layout, programs)) is not None:
                report("the cluster is already up")
                return cluster
            if leftovers(layout):
                report(f"clearing away what is left of an earlier start in {layout.state}")
                _clear(layout)
            cluster = cls(layout, free_addresses(layout), programs)
            layout.state.mkdir(parents=True)
            cluster._record(complete=False)
            cluster._start(report)
            cluster._record(complete=True)
            return cluster

    @classmethod
    def attach(cls, layout: Layout) -> "Cluster":
        """The cluster of this layout, which must be up. Raises ClusterError when it is not."""
        programs = find_programs(layout.cache)
        cluster = cls._running(layout, programs) if programs else None
        if cluster is None:
            raise ClusterError(f"no cluster is up in {layout.state}: run make cluster-up")
        return cluster

    @classmethod
    def down(cls, layout: Layout, report: Report = silent) -> None:
        """End the cluster of this layout, or what is there of it, and leave nothing behind. Raises ClusterError if something stays."""
        with _alone(layout):
            if not leftovers(layout):
                report("no cluster is up")
                return
            _clear(layout)
            if left := leftovers(layout):
                raise ClusterError("some of the cluster is still there:\n" + "\n".join(left))
            report("the cluster is down; nothing is left of it")

    def load(self, archive: Path, nodes: Sequence[str] = NODES) -> None:
        """Import an image's archive into the nodes that lack it. An archive's file name says what is in it: other content, other name."""
        for name in nodes:
            node = self.nodes[name]
            loaded = node.machine.folder / "images" / archive.name
            if not loaded.exists():
                node.ctr("images", "import", archive)
                loaded.parent.mkdir(exist_ok=True)
                loaded.touch()

    def unplug(self, name: str) -> None:
        """Pull a node's cable: it is lost to all others, and all that runs there runs on."""
        self.control_plane.machine.ip(f"link set {name} down")

    def plug_in(self, name: str) -> None:
        """Put a node's cable back; the node becomes Ready later."""
        self.control_plane.machine.ip(f"link set {name} up")

    def load_prometheus(self) -> str:
        """Make an image of the Prometheus that was built, bring it to the nodes, and return its name."""
        program = self.programs["prometheus"]
        # Named by what it holds, as the cache's folder is.
        archive = self.layout.cache / "images" / f"{program.parent.name}.tar"
        if not archive.exists():
            archive.parent.mkdir(exist_ok=True)
            unfinished = archive.with_suffix(".unfinished")
            write_program_image(unfinished, PROMETHEUS_IMAGE, program, ["/bin/prometheus"])
            unfinished.rename(archive)
        self.load(archive)
        return PROMETHEUS_IMAGE

    @classmethod
    def _running(cls, layout: Layout, programs: Programs) -> "Cluster | None":
        try:
            record = json.loads(layout.record.read_text())
        except (OSError, ValueError):
            return None
        cluster = cls(layout, Addresses(record["addresses"]), programs)
        machines = [cluster.control_plane.machine, *(node.machine for node in cluster.nodes.values())]
        alive = record["complete"] and all(machine.find() for machine in machines)
        return cluster if alive else None

    def _record(self, *, complete: bool) -> None:
        self.layout.record.write_text(json.dumps({"addresses": self.addresses.index, "complete": complete}))

    def _start(self, report: Report) -> None:
        layout = self.layout
        pause, busybox = self._write_images()
        self.control_plane.sign(Authority(layout.certificates))
        self.control_plane.machine.boot()
        lay_bridge(self.control_plane.machine, self.addresses, layout)
        for node in self.nodes.values():
            node.machine.boot()
            connect_node(node.machine, self.control_plane.machine, self.addresses, layout)
        report("three machines are up, connected")
        for node in self.nodes.values():
            node.start_containerd()
        self.control_plane.start()
        report("the API server is ready")
        addons.install(self.kubectl)
        for node in self.nodes.values():
            node.wait_for_containerd()
            self.load(pause, [node.name])
            self.load(busybox, [node.name])
            node.start_kubelet()
        first = self.nodes[NODES[0]]
        first.start_gpus(GPUS)
        for node in self.nodes.values():
            node.wait_until_ready()
            report(f"{node.name} is Ready")
        first.wait_for_gpus(GPUS)
        report(f"{first.name} offers {GPUS} GPUs")

    def _write_images(self) -> tuple[Path, Path]:
        pause, busybox = self.layout.state / "pause.tar", self.layout.state / "busybox.tar"
        write_busybox_image(pause, PAUSE_IMAGE, ["/bin/sleep", "infinity"])
        write_busybox_image(busybox, BUSYBOX_IMAGE)
        return pause, busybox


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    layout.lock.parent.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(
                f"another process is starting or stopping the cluster in {layout.state}: wait for it, then try again"
            ) from error
        yield


def _clear(layout: Layout) -> None:
    for pid in cluster_pids(layout):
        if not processes.end(pid, signal.SIGKILL, END_SECONDS):
            raise ClusterError(f"process {pid} did not end within {END_SECONDS} s of SIGKILL")
    cgroups.remove(layout.cgroup)
    # The cable went with the control plane; a route through it goes with it.
    if layout.state.exists():
        _remove(layout.state)


def _remove(folder: Path) -> None:
    # Not rmtree alone: a mount that escaped would have its files removed with it.
    below = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if mounted := [point for point in below if Path(point).is_relative_to(folder)]:
        raise ClusterError(f"{mounted[0]} is a mount: unmount it, then run make cluster-down again")
    trash = folder.with_name(f".{folder.name}-{os.getpid()}")
    folder.rename(trash)
    # A node has thousands of folders, and for each that goes the disk is waited for.
    with ThreadPoolExecutor() as threads:
        list(threads.map(shutil.rmtree, trash.glob("machines/*")))
    shutil.rmtree(trash)
