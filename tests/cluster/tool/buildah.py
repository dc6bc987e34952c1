"""Building images with buildah: no daemon, its storage in our cache, the machine's pip settings lent to the build."""

import ast
import contextlib
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.tool import shell
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import REPO, Paths

_MANY_LAYERS: Final = 100
_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_PIP_OPTIONS: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries")


@dataclass(frozen=True, slots=True)
class Buildah:
    """One storage of images and layers."""

    storage: Path

    @classmethod
    def of(cls, paths: Paths) -> "Buildah":
        """Return the storage in the cache."""
        return cls(paths.images / "buildah")

    def has(self, reference: str) -> bool:
        """Tell whether an image is in the storage."""
        return bool(self.run("images", "--quiet", "--filter", f"reference={reference}").strip())

    def build(self, dockerfile: Path, *, reference: str, arguments: Mapping[str, str], log: Path) -> None:
        """Build a Dockerfile of this repository; unchanged layers are taken from the storage."""
        with _lent_settings() as mounts:
            self.run(
                *("build", "--layers", "--network", "host", "--pull-never"),
                *("--file", str(dockerfile), "--ignorefile", f"{dockerfile}.dockerignore"),
                *(part for mount in mounts for part in ("--volume", mount)),
                *(part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")),
                *("--tag", reference, str(REPO)),
                log=log,
            )

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[str]:
        """Lend a working container."""
        name = self.run("from", "--pull-never", image).strip()
        try:
            yield name
        finally:
            self.run("rm", name)

    def tidy(self) -> None:
        """Remove what interrupted builds left, and layers no image uses once they are many: kept, they save time."""
        self.run("rm", "--all")
        if len(self.run("images", "--all", "--quiet").split()) > _MANY_LAYERS:
            self.run("rmi", "--prune", "--force")

    def push(self, reference: str, file: Path) -> None:
        """Write an image to an archive that every container engine can load; it appears whole or not at all."""
        unfinished = file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        self.run("push", "--quiet", reference, f"docker-archive:{unfinished}:{reference}")
        unfinished.rename(file)

    def run(self, *arguments: str, log: Path | None = None) -> str:
        """Run one buildah command on the storage."""
        self.storage.mkdir(parents=True, exist_ok=True)
        settings = self.storage / "storage.conf"
        settings.write_text(
            f'[storage]\ndriver = "{_driver()}"\n'
            f'runroot = "{self.storage / "run"}"\ngraphroot = "{self.storage / "graph"}"\n'
        )
        policy = self.storage / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')
        # Only build, from, pull and push know the policy; without it they want a file in /etc.
        trusting = {"build", "from", "push"}
        trust = ["--signature-policy", str(policy)] if arguments[0] in trusting else []
        return shell.run(
            ["buildah", arguments[0], *trust, *arguments[1:]],
            env={"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(settings), "STORAGE_DRIVER": _driver()},
            log=log,
        )


def _driver() -> str:
    """Return how layers are stored: stacked where the kernel can, copied elsewhere."""
    return "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "vfs"


@contextlib.contextmanager
def _lent_settings() -> Iterator[list[str]]:
    """Mount this machine's certificates and pip settings into a build, so that neither ends up in an image."""
    bundle = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or _BUNDLE
    if not Path(bundle).is_file():
        bundle = _BUNDLE
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / "pip.conf"
        settings.touch(mode=0o600)
        lines = [f"{name} = {value}" for name, value in _pip_settings().items()]
        settings.write_text(
            "\n".join(["[global]", f"cert = {_BUNDLE}", "disable-pip-version-check = true", *lines]) + "\n"
        )
        yield [f"{bundle}:{_BUNDLE}:ro", f"{settings}:/etc/pip.conf:ro"]


def _pip_settings() -> dict[str, str]:
    """Return what pip would use here, from its files and its environment, the environment last and strongest."""
    try:
        listed = shell.run([sys.executable, "-m", "pip", "config", "list"])
    except ToolError:
        return {}
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if option in _PIP_OPTIONS and section in {"global", "install", ":env:"} and value:
            # A list is written one to a line in a file, indented.
            found[option] = "\n  ".join(str(ast.literal_eval(value)).split())
    return found
