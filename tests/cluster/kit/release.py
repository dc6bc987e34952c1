"""Installs the chart with the images of the current work tree: the only way in, for tests and for the demo.

A test that runs an operator of its own has the installed one paused meanwhile: two answer for one job otherwise.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.cluster.kit.helm import Helm, HelmError
from tests.cluster.tool import api as tool

__all__ = ["CHART", "NAMESPACE", "RELEASE", "RESTRICTED", "InstallError", "install", "paused", "restrict", "values_of"]

CHART: Final = Path(__file__).resolve().parents[3] / "charts" / "regatta"
RELEASE: Final = "regatta"
NAMESPACE: Final = "regatta-system"
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
_FRAMEWORKS: Final = {"PyTorch": "pytorch", "TensorFlow": "tensorflow", "Keras": "keras", "Horovod": "horovod"}


class InstallError(Exception):
    """Helm could not install the chart; the text is its error, and what the operator's pods say."""


def install(cluster: tool.Cluster, images: Mapping[str, tool.Image], values: Mapping[str, Any] | None = None) -> None:
    """Install or upgrade the release and wait until the operator is ready."""
    restrict(cluster)
    merged = {**values_of(images), **(values or {})}
    # The CRD outlives releases, and may have been applied without Helm.
    ours = ("--take-ownership", "--force-conflicts", "--wait", "--timeout", "2m")
    try:
        Helm(cluster, NAMESPACE).run("upgrade", "--install", RELEASE, str(CHART), *ours, values=merged)
    except HelmError as error:
        raise InstallError(f"helm upgrade --install {RELEASE}: {error}\n{_pods(cluster)}") from error


def restrict(cluster: tool.Cluster) -> None:
    """Make the release's namespace, under the restricted Pod Security Standard: the chart can live with it."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}}
    command = [*cluster.kubectl(), "apply", "--filename", "-"]
    subprocess.run(command, input=json.dumps(space), text=True, check=True, capture_output=True)


@contextlib.contextmanager
def paused(cluster: tool.Cluster) -> Iterator[None]:
    """Without the installed operator while the context is open, where one is installed."""
    kubectl = [*cluster.kubectl(), "--namespace", NAMESPACE]
    deployment = f"deployment/{RELEASE}"

    def run(*arguments: str) -> str:
        return subprocess.run([*kubectl, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    replicas = run("get", deployment, "--ignore-not-found", "--output", "jsonpath={.spec.replicas}")
    if replicas in {"", "0"}:
        yield
        return
    run("scale", deployment, "--replicas=0")
    try:
        run("wait", "pods", "--for=delete", "--selector", "app.kubernetes.io/component=operator", "--timeout=60s")
        yield
    finally:
        run("scale", deployment, f"--replicas={replicas}")
        run("rollout", "status", deployment, "--timeout=2m")


def _pods(cluster: tool.Cluster) -> str:
    """What became of the operator's pods, and the end of their logs."""
    kubectl = [*cluster.kubectl(), "--namespace", NAMESPACE]
    looks = (["get", "pods"], ["get", "events"], ["logs", f"deployment/{RELEASE}", "--all-pods", "--tail=20"])
    answers = (subprocess.run([*kubectl, *look], capture_output=True, text=True, check=False) for look in looks)
    return "\n".join((answer.stdout or answer.stderr)[-3000:] for answer in answers)


def values_of(images: Mapping[str, tool.Image]) -> dict[str, Any]:
    """Values that name these images, whatever they are called."""
    return {
        "image": {"registry": "", **_image(images["operator"])},
        "runtimeImage": _image(images["runtime"]),
        **({"feedImage": _image(images["feed"])} if "feed" in images else {}),
        "frameworkImages": {each: _image(images[name]) for each, name in _FRAMEWORKS.items() if name in images},
        # A tag that stays while its content changes would not roll the Deployment by itself.
        "podAnnotations": {"regatta.dev/build": images["operator"].key},
    }


def _image(image: tool.Image) -> dict[str, str]:
    name, _, digest = image.reference.partition("@")
    if digest:
        return {"repository": name, "digest": digest}
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}
