"""Using a cluster that the user already has: it is looked at, told about and used; nothing is built or removed."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool import build, images, shell
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.images import Image
from tests.cluster.tool.paths import REPO, Paths
from tests.cluster.tool.progress import Progress

OLDEST: Final = (1, 33)
PYTHON: Final = "docker.io/library/python:3.13-slim-bookworm"
"""What stands in for our own base image where images can be pulled."""
_KUBECONFIG: Final = "REGATTA_KUBECONFIG"
_REGISTRY: Final = "REGATTA_IMAGE_REGISTRY"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which cluster the user named: a kubeconfig and a context in it, None for its current one."""

    kubeconfig: Path
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What that cluster turned out to be."""

    kubeconfig: Path
    context: str
    version: str
    nodes: tuple[str, ...]


def chosen(*, context: str | None = None) -> Chosen | None:
    """Return the cluster the user named, by REGATTA_KUBECONFIG or a context; None when they named none."""
    file = os.environ.get(_KUBECONFIG)
    if not file and not context:
        return None
    file = file or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or str(Path.home() / ".kube" / "config")
    path = Path(file).expanduser()
    if not path.is_file():
        wanted = f", which should have context {context}," if context else ""
        raise ToolError(f"the kubeconfig {path}{wanted} does not exist; set {_KUBECONFIG} to yours, or unset it")
    return Chosen(path.resolve(), context)


def check(wanted: Chosen, *, progress: Progress | None = None) -> Found:
    """Ask the cluster who it is; say so, or say why it can't be used."""
    progress = progress or Progress()
    kubectl = _kubectl(wanted)
    context = wanted.context or shell.run([*kubectl, "config", "current-context"]).strip()
    try:
        said: dict[str, Any] = json.loads(shell.run([*kubectl, "get", "--raw", "/version", "--request-timeout=10s"]))
    except ToolError as error:
        raise ToolError(f"the cluster of context {context} ({wanted.kubeconfig}) can't be reached:\n{error}") from error
    number = re.match(r"v(\d+)\.(\d+)", said["gitVersion"])
    if number is None or (int(number[1]), int(number[2])) < OLDEST:
        raise ToolError(
            f"context {context} is Kubernetes {said['gitVersion']}; {'.'.join(map(str, OLDEST))} is the oldest"
        )
    nodes = shell.run([*kubectl, "get", "nodes", "-o", "name"]).split()
    names = tuple(node.removeprefix("node/") for node in nodes)
    progress.say(f"using your cluster: context {context}, Kubernetes {said['gitVersion']}, {len(names)} nodes")
    return Found(kubeconfig=wanted.kubeconfig, context=context, version=said["gitVersion"], nodes=names)


def provide_images(wanted: Chosen, names: Sequence[str], *, progress: Progress | None = None) -> Mapping[str, Image]:
    """Load the images into a kind, k3d or minikube cluster; for others, tell which ones have to be in a registry."""
    progress = progress or Progress()
    context = wanted.context or shell.run([*_kubectl(wanted), "config", "current-context"]).strip()
    registry = os.environ.get(_REGISTRY, "").rstrip("/")
    loader = loading(context)
    if loader is None and not registry:
        listed = "\n".join(f"  docker build --file {images.dockerfile(name)} ." for name in _ours(names))
        raise ToolError(
            f"context {context} can't be given images from here. Build them, push them where its nodes can pull,\n"
            f"and set {_REGISTRY} to that place, in which regatta/NAME:{images.TAG} will be looked for:\n{listed}"
        )
    if loader is None:
        progress.say(f"images are expected in {registry}/regatta: {', '.join(_ours(names))}, tagged {images.TAG}")
        pulled = {name: f"{registry}/regatta/{name}:{images.TAG}" for name in _ours(names)} | {"base": PYTHON}
        return {name: Image(name=name, reference=pulled[name], key=pulled[name], archive=Path()) for name in names}
    if shell.succeeds(["docker", "info"]):
        found = {name: _docker_built(name, progress=progress) for name in names}
    else:
        found = dict(images.ensure(Paths.default(), names, progress=progress, load=False))
    for image in found.values():
        with progress.step(f"load the image {image.name} with {loader[0]}"):
            shell.run([*loader, str(image.archive)])
    return found


def loading(context: str) -> list[str] | None:
    """Return the command that loads an archive into the cluster a context belongs to; None for a kind unknown.

    The archive comes last in all three.
    """
    if context.startswith("kind-"):
        return ["kind", "load", "image-archive", "--name", context.removeprefix("kind-")]
    if context.startswith("k3d-"):
        return ["k3d", "image", "import", "--cluster", context.removeprefix("k3d-")]
    if context == "minikube":
        return ["minikube", "image", "load"]
    return None


def minified(wanted: Chosen) -> Path:
    """Return a kubeconfig of that context alone, for programs that always take the current one."""
    if wanted.context is None:
        return wanted.kubeconfig
    file = Paths.default().cache / f"context-{hashlib.sha256(wanted.context.encode()).hexdigest()[:12]}.kubeconfig"
    file.touch(mode=0o600)
    file.write_text(shell.run([*_kubectl(wanted), "config", "view", "--minify", "--flatten", "--raw"]))
    return file


def _ours(names: Sequence[str]) -> list[str]:
    """Return those of the images that this repository has a Dockerfile for."""
    return [name for name in names if name != "base"]


def _docker_built(name: str, *, progress: Progress) -> Image:
    """Build an image as its users do, with docker and the public base image."""
    archive = Paths.default().images / f"docker-{name}.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    reference = images.reference(name)
    with progress.step(f"build the image {name} with docker"):
        if name == "base":
            shell.run(["docker", "pull", PYTHON])
            shell.run(["docker", "tag", PYTHON, reference])
        else:
            file = REPO / images.dockerfile(name)
            index = os.environ.get("TORCH_INDEX")
            arguments = ["--build-arg", f"TORCH_INDEX={index}"] if name == "pytorch" and index else []
            for argument, value in images.FOR_CPUS.get(name, {}).items():
                arguments += ["--build-arg", f"{argument}={value}"]
            shell.run(["docker", "build", "--file", file, *arguments, "--tag", reference, REPO])
        key = shell.run(["docker", "image", "inspect", "--format", "{{.Id}}", reference]).strip()
        shell.run(["docker", "save", "--output", archive, reference])
    return Image(name=name, reference=reference, key=key.removeprefix("sha256:")[:12], archive=archive)


def _kubectl(wanted: Chosen) -> list[str]:
    """Return the user's own kubectl where there is one: nothing has to be built for their cluster."""
    try:
        program = shell.which("kubectl")
    except ToolError:
        program = str(build.program(Paths.default(), "kubectl"))
    context = ["--context", wanted.context] if wanted.context else []
    return [program, "--kubeconfig", str(wanted.kubeconfig), *context]
