"""The address plans of test clusters."""

from itertools import combinations

from cluster.layout import CONTROL_PLANE, NODES
from cluster.network import NETWORKS, Addresses


def test_plans_of_different_numbers_share_no_address() -> None:
    networks = [
        network
        for index in range(NETWORKS)
        for plan in [Addresses(index)]
        for network in (plan.machines, plan.services, plan.pods)
    ]
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))


def test_control_plane_nodes_and_host_have_addresses_of_their_own() -> None:
    plan = Addresses(3)
    addresses = [plan.host, *(plan.machine(name) for name in (CONTROL_PLANE, *NODES))]
    assert len(set(addresses)) == len(addresses)
    assert plan.api_service == "10.251.3.1"


def test_pods_of_each_node_lie_in_the_network_of_all_pods_and_apart() -> None:
    plan = Addresses(3)
    first, second = (plan.pods_of(node) for node in NODES)
    assert not first.overlaps(second)
    assert first.subnet_of(plan.pods)
    assert second.subnet_of(plan.pods)
