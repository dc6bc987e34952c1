"""Using a cluster that the user already has: it is looked at, told about and used; nothing is built or removed."""

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
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress

OLDEST: Final = (1, 33)
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
        raise ToolError(f"the kubeconfig {path} does not exist; set {_KUBECONFIG} to yours, or unset it")
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
        listed = "\n".join(f"  docker build -f {images.dockerfile(name)} ." for name in names if name != "base")
        raise ToolError(
            f"context {context} can't be given images from here. Build them, push them where its nodes can pull,\n"
            f"and set {_REGISTRY} to that place, in which regatta/NAME:{images.TAG} will be looked for:\n{listed}"
        )
    if loader is None:
        progress.say(f"images are expected in {registry}: {', '.join(f'regatta/{n}:{images.TAG}' for n in names)}")
        return {
            name: Image(name=name, reference=f"{registry}/regatta/{name}:{images.TAG}", key="registry", archive=Path())
            for name in names
        }
    found = images.ensure(Paths.default(), names, progress=progress, load=False)
    for image in found.values():
        with progress.step(f"load the image {image.name} with {loader[0]}"):
            shell.run([*loader, image.archive])
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


def _kubectl(wanted: Chosen) -> list[str]:
    """Return the user's own kubectl where there is one: nothing has to be built for their cluster."""
    try:
        program = shell.which("kubectl")
    except ToolError:
        program = str(build.program(Paths.default(), "kubectl"))
    context = ["--context", wanted.context] if wanted.context else []
    return [program, "--kubeconfig", str(wanted.kubeconfig), *context]
