"""Where everything lies: the repository, the cache outside it, and the state of the running cluster."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.cluster.tool.addresses import MOST, Addresses
from tests.cluster.tool.errors import ToolError

REPO: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Paths:
    """The cache folder and what is below it. Nothing is ever written into the repository."""

    cache: Path
    number: int = 0
    """Which cluster: those with different numbers run side by side."""

    @classmethod
    def default(cls) -> Self:
        """Return the paths below REGATTA_CACHE, or below the user's cache folder, of cluster REGATTA_CLUSTER (0)."""
        number = os.environ.get("REGATTA_CLUSTER", "0")
        if number not in map(str, range(MOST)):
            raise ToolError(f"REGATTA_CLUSTER is a number from 0 to {MOST - 1}, not {number!r}")
        chosen = os.environ.get("REGATTA_CACHE")
        if chosen:
            return cls(Path(chosen).expanduser().resolve(), int(number))
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls((Path(home) / "regatta").resolve(), int(number))

    @property
    def addresses(self) -> Addresses:
        """Names and addresses of the cluster's parts."""
        return Addresses(self.number)

    @property
    def bin(self) -> Path:
        """Built programs, one folder for each version of their sources."""
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        """Image archives and the stores they are built and unpacked in."""
        return self.cache / "images"

    @property
    def cluster(self) -> Path:
        """The state of the running cluster: gone when it is torn down."""
        return self.cache / self._folder

    @property
    def logs(self) -> Path:
        """One log for each component."""
        return self.cluster / "log"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.cluster / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.cluster / "kubeconfig"

    @property
    def lock(self) -> Path:
        """Held by whoever changes the cluster; outside its folder, so that a tear-down can hold it too."""
        return self.cache / f"{self._folder}.lock"

    @property
    def _folder(self) -> str:
        return f"cluster-{self.number}" if self.number else "cluster"

    def node(self, name: str) -> Path:
        """Return the folder of one node."""
        return self.cluster / name
