"""Where everything lies: the repository, the cache outside it, and the state of the running cluster."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

REPO: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Paths:
    """The cache folder and what is below it. Nothing is ever written into the repository."""

    cache: Path

    @classmethod
    def default(cls) -> Self:
        """Return the paths below REGATTA_CACHE, or below the user's cache folder."""
        chosen = os.environ.get("REGATTA_CACHE")
        if chosen:
            return cls(Path(chosen).expanduser().resolve())
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls((Path(home) / "regatta").resolve())

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
        return self.cache / "cluster"

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
        return self.cache / "cluster.lock"

    def node(self, name: str) -> Path:
        """Return the folder of one node."""
        return self.cluster / name
