"""Addresses and cables.

The control plane, in its own namespace, carries a bridge; each node and the host hang on it by a veth pair. Pods and Services are reached by plain
routes, from the host too. Nothing translates addresses towards the outside, so nothing in the cluster can reach it.
"""

import ipaddress
import json
from dataclasses import dataclass

from cluster.errors import ClusterError
from cluster.layout import CONTROL_PLANE, NODES, Layout
from cluster.machine import Machine, run

BRIDGE = "cluster"
CABLE = "eth0"
NETWORKS = 64


@dataclass(frozen=True)
class Addresses:
    """The address plan of the cluster with this number, 0 to 63."""

    index: int

    @property
    def machines(self) -> ipaddress.IPv4Network:
        """Control plane, nodes and host."""
        return ipaddress.IPv4Network(f"10.250.{self.index}.0/24")

    @property
    def services(self) -> ipaddress.IPv4Network:
        """Cluster addresses of Services."""
        return ipaddress.IPv4Network(f"10.251.{self.index}.0/24")

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """All pods; each node has a /24 of it."""
        return ipaddress.IPv4Network(f"10.{128 + self.index}.0.0/16")

    @property
    def host(self) -> str:
        """The host's end of its cable."""
        return str(self.machines[254])

    @property
    def api_service(self) -> str:
        """The Service `kubernetes`, always the first of its network."""
        return str(self.services[1])

    def machine(self, name: str) -> str:
        """The address of the control plane or a node."""
        return str(self.machines[1 if name == CONTROL_PLANE else 2 + NODES.index(name)])

    def pods_of(self, node: str) -> ipaddress.IPv4Network:
        """The addresses of the pods on one node."""
        return list(self.pods.subnets(new_prefix=24))[1 + NODES.index(node)]


def free_addresses(layout: Layout) -> Addresses:
    """An address plan that no route of the host touches; the same for the same state folder where possible.

    Raises ClusterError when all are taken.
    """
    taken = [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in json.loads(run("ip", "-4", "-json", "route"))
        if route["dst"] != "default"
    ]
    first = int(layout.key, 16)
    for offset in range(NETWORKS):
        plan = Addresses((first + offset) % NETWORKS)
        if not any(own.overlaps(other) for own in (plan.machines, plan.services, plan.pods) for other in taken):
            return plan
    raise ClusterError(
        f"all {NETWORKS} address plans within 10.0.0.0/8 are in use: stop another cluster, see `ip route`"
    )


def lay_bridge(control_plane: Machine, addresses: Addresses, layout: Layout) -> None:
    """The bridge in the control plane's namespace, and the host's cable to it."""
    address = f"{addresses.machine(CONTROL_PLANE)}/{addresses.machines.prefixlen}"
    for command in (
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"address add {address} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ):
        control_plane.ip(command)
    _ip(f"link add {layout.link} type veth peer name host netns {control_plane.pid}")
    control_plane.ip(f"link set host master {BRIDGE} up")
    _ip(f"address add {addresses.host}/{addresses.machines.prefixlen} dev {layout.link}")
    _ip(f"link set {layout.link} up")
    _ip(f"route add {addresses.services} via {addresses.machine(NODES[0])} dev {layout.link}")


def connect_node(node: Machine, control_plane: Machine, addresses: Addresses, layout: Layout) -> None:
    """A cable from the node to the bridge, and routes to and from its pods."""
    address = addresses.machine(node.name)
    for command in (
        f"link add {CABLE} type veth peer name {node.name} netns {control_plane.pid}",
        "link set lo up",
        f"address add {address}/{addresses.machines.prefixlen} dev {CABLE}",
        f"link set {CABLE} up",
        # The host forwards nothing; but programs on the node want a default route to learn their own address from.
        f"route add default via {addresses.host}",
    ):
        node.ip(command)
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    control_plane.ip(f"link set {node.name} master {BRIDGE} up")
    pods = addresses.pods_of(node.name)
    control_plane.ip(f"route add {pods} via {address}")
    _ip(f"route add {pods} via {address} dev {layout.link}")
    for other in NODES:
        if other != node.name:
            node.ip(f"route add {addresses.pods_of(other)} via {addresses.machine(other)}")


def _ip(command: str) -> None:
    run("ip", *command.split())
