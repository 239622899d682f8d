"""What a cluster has on the machine right now, found by looking and not by remembering.

A cluster that is down has nothing. One whose `up` was killed at any moment has what this finds.
"""

import json
from pathlib import Path

from cluster import cgroups, processes
from cluster.layout import Layout
from cluster.machine import run


def leftovers(layout: Layout) -> list[str]:
    """A line for each process, mount, network interface, route, cgroup and folder of this cluster that exists."""
    return [*_processes(layout), *_mounts(layout), *_links(layout), *_cgroups(layout), *_state(layout)]


def cluster_pids(layout: Layout) -> list[int]:
    """The processes that name the state folder, or live in the process namespace of one that does as its first process."""
    marker = f"--state={layout.state}"
    named = {pid for pid in processes.all_pids() if marker in processes.command_line(pid) and _is_ours(pid)}
    spaces = {processes.pid_namespace(pid) for pid in named if processes.inner_pid(pid) == 1}
    return sorted(named | {pid for pid in processes.all_pids() if processes.pid_namespace(pid) in spaces - {None}})


def _is_ours(pid: int) -> bool:
    return any(Path(part).name == "init.py" for part in processes.command_line(pid))


def _processes(layout: Layout) -> list[str]:
    return [f"process {pid}: {' '.join(processes.command_line(pid))[:160]}" for pid in cluster_pids(layout)]


def _mounts(layout: Layout) -> list[str]:
    # Mounts of the machines are in namespaces that end with them; one seen from here has escaped.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [f"mount {point}" for point in points if Path(point).is_relative_to(layout.state)]


def _links(layout: Layout) -> list[str]:
    names = [link["ifname"] for link in json.loads(run("ip", "-json", "link"))]
    return [f"network interface {name}" for name in names if name == layout.link]


def _cgroups(layout: Layout) -> list[str]:
    return [f"cgroup {folder}" for folder in cgroups.find(layout.cgroup) if folder.name == layout.cgroup]


def _state(layout: Layout) -> list[str]:
    return [f"folder {layout.state}"] if layout.state.exists() else []
