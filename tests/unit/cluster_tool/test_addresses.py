"""Clusters with different numbers share nothing on a machine."""

from ipaddress import ip_network
from itertools import combinations

import pytest

from tests.cluster.tool.addresses import MOST, Addresses
from tests.cluster.tool.cluster import MOST_NODES

EVERY = [Addresses(number) for number in range(MOST)]


@pytest.mark.parametrize("part", ["bridge", "host", "pods", "services", "cgroup", "cni_network"])
def test_each_cluster_has_its_own(part: str) -> None:
    assert len({getattr(ours, part) for ours in EVERY}) == MOST


def test_no_two_ranges_overlap() -> None:
    ranges = [ip_network(text) for ours in EVERY for text in (ours.pods, ours.services, f"{ours.host}/32")]

    assert not [(one, other) for one, other in combinations(ranges, 2) if one.overlaps(other)]


def test_no_two_components_of_any_cluster_want_one_port() -> None:
    ports = [ours.port(usual) for ours in EVERY for usual in (12379, 12380, 10257, 10259)]

    assert len(set(ports)) == len(ports)


def test_a_nodes_pods_lie_in_the_clusters_range() -> None:
    ours = Addresses(3)

    assert all(ip_network(ours.pod_range(index)).subnet_of(ip_network(ours.pods)) for index in range(1, MOST_NODES + 1))


def test_link_names_fit_the_kernels_limit() -> None:
    names = [name for ours in EVERY for name in (ours.bridge, ours.cable(f"node{MOST_NODES}"))]

    assert max(map(len, names)) <= 15
