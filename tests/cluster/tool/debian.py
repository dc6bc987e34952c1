"""The few Debian packages that the cluster and the image builds are made of."""

import os
from typing import Final

from tests.cluster.tool import shell
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.progress import Progress

CLUSTER: Final = {
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
}
"""What a node runs on, by the program each package is wanted for."""

IMAGES: Final = {
    "gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "objdump": "binutils",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}
"""What images are built with."""


def ensure(wanted: dict[str, str], *, progress: Progress) -> None:
    """Install the packages whose programs are missing; without root, say which they are."""
    missing = sorted({package for sign, package in wanted.items() if not _present(sign)})
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shell.succeeds(["apt-get", "--version"]):
        raise ToolError(f"missing on this machine: {names}\ninstall them, on Debian with: sudo apt-get install {names}")
    apt = {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"install Debian packages: {names}"):
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
        try:
            shell.run(install, env=apt)
        except ToolError:
            # The lists of a fresh machine are empty or old.
            shell.run(["apt-get", "update"], env=apt)
            shell.run(install, env=apt)
    still = sorted({package for sign, package in wanted.items() if not _present(sign)})
    if still:
        raise ToolError(f"installed {' '.join(still)}, but their programs are still not found")


def mirrors(suite: str) -> list[str]:
    """Return where this machine gets the packages of a Debian suite, as lines of a sources.list; none on other systems.

    The machine may reach its own mirror only.
    """
    described = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    try:
        listed = shell.run(["apt-get", "indextargets", "--format", described, "Created-By: Packages"])
    except ToolError:
        return []
    targets = sorted({tuple(line.split(" ")) for line in listed.splitlines()})
    ours = [target for target in targets if target[2:] == ("main", "Debian")]
    if not any(target[1] == suite for target in ours):
        return []
    return [f"deb {target[0]} {target[1]} main" for target in ours if target[1].split("-")[0] == suite]


def _present(sign: str) -> bool:
    if sign.startswith("/"):
        return os.path.exists(sign)
    try:
        shell.which(sign)
    except ToolError:
        return False
    return True
