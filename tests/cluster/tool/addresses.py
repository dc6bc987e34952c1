"""Names, addresses and ports of a cluster by its number, so that clusters can run side by side on one machine."""

from dataclasses import dataclass
from typing import Final

MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Addresses:
    """What cluster number `number` calls its parts; the first is number 0."""

    number: int

    @property
    def bridge(self) -> str:
        """The link all nodes are plugged into."""
        return f"regatta{self.number}"

    @property
    def host(self) -> str:
        """The bridge's address: the API server and the cluster's DNS listen there."""
        return f"172.30.{self.number}.1"

    @property
    def pods(self) -> str:
        """The range of all pods."""
        return f"10.{244 + self.number}.0.0/16"

    @property
    def services(self) -> str:
        """The range of services."""
        return f"10.{96 + self.number}.0.0/16"

    @property
    def service_api(self) -> str:
        """The address of the service `kubernetes`."""
        return f"10.{96 + self.number}.0.1"

    @property
    def api_server(self) -> str:
        """The API server's address."""
        return f"https://{self.host}:6443"

    @property
    def cgroup(self) -> str:
        """The control group that holds a group for each node."""
        return f"regatta{self.number}"

    @property
    def cni_network(self) -> str:
        """The name CNI knows the pods' network by."""
        return f"regatta{self.number}-pods"

    def namespace(self, node: str) -> str:
        """Return the name of a node's network namespace."""
        return f"{self.bridge}-{node}"

    def cable(self, node: str) -> str:
        """Return the name of the host's end of a node's cable; the kernel allows 15 characters."""
        return f"rg{self.number}-{node}"

    def node(self, index: int) -> str:
        """Return the address of node number `index`, counted from one."""
        return f"172.30.{self.number}.{10 + index}"

    def pod_range(self, index: int) -> str:
        """Return the range that the pods of node number `index` get their addresses from."""
        return f"10.{244 + self.number}.{index}.0/24"

    def port(self, usual: int) -> int:
        """Return the port on this machine for something that usually has that one."""
        return usual + 10 * self.number
