"""The demo's steps, each told before it is taken; a second run starts from what the first one left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.kit import Api, Installation, release
from tests.cluster.kit.waiting import describe_job
from tests.cluster.tool import api as tool
from tests.demo.follow import FollowError, follow

__all__ = ["DemoError", "run"]

REPO: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = Path("examples/pytorch-digits/job.yaml")
STEPS: Final = 5
NAMESPACE: Final = "default"
PATIENCE: Final = 300.0
"""Seconds that the example may take; it takes well below one minute."""
LOG_LINES: Final = 8


class DemoError(Exception):
    """The demo cannot go on; the text says what happened."""


def run(*, context: str | None) -> None:
    """Run all steps and end with the job's status, or raise one of the errors that `__main__` prints."""
    started = time.monotonic()
    name = str(yaml.safe_load((REPO / EXAMPLE).read_text())["metadata"]["name"])
    with step(1, "a Kubernetes cluster"):
        cluster = tool.ensure_cluster(context=context)
    with step(2, "the images of this work tree"):
        images = tool.ensure_images(cluster, ("operator", "runtime", "pytorch"))
    with step(3, "helm upgrade --install regatta charts/regatta"):
        release.install(cluster, images)
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    with contextlib.closing(api):
        with step(4, f"kubectl apply -f {EXAMPLE}"):
            kubectl(cluster, "delete", "trainingjob", name, "-n", NAMESPACE, "--ignore-not-found", "--wait")
            kubectl(cluster, "apply", "-n", NAMESPACE, "-f", str(REPO / EXAMPLE))
        with step(5, f"the training of {name}"):
            succeed(api, images["pytorch"].reference, name)
        print_end(api, cluster, name, seconds=time.monotonic() - started)


@contextlib.contextmanager
def step(number: int, what: str) -> Iterator[None]:
    """Tell a step before it is taken and how long it took after it."""
    print(f"[{number}/{STEPS}] {what}", flush=True)
    before = time.monotonic()
    yield
    print(f"      done in {time.monotonic() - before:.1f} s", flush=True)


def kubectl(cluster: tool.Cluster, *arguments: str) -> str:
    """Output of one kubectl command; its error ends the demo."""
    done = subprocess.run([*cluster.kubectl(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"kubectl {' '.join(arguments)}:\n{done.stderr.strip()}")
    return done.stdout.rstrip()


def succeed(api: Api, pytorch_image: str, name: str) -> None:
    """Follow the job to its success; anything else is told with the job's whole story."""
    installation = Installation(
        api=api, namespace=release.NAMESPACE, release=release.RELEASE, pytorch_image=pytorch_image
    )
    try:
        follow(api, namespace=NAMESPACE, name=name, patience=PATIENCE)
    except FollowError as error:
        story = describe_job(api, namespace=NAMESPACE, name=name, operator_log=installation.log)
        raise DemoError(f"{error}\n{story}") from error


def print_end(api: Api, cluster: tool.Cluster, name: str, *, seconds: float) -> None:
    """Print what worker 0 said last, the job's status, and what to do next."""
    pod = worker_zero(api, name)["metadata"]["name"]
    print(f"\nThe end of worker 0's log (kubectl logs {pod}):")
    for line in api.log(pod, namespace=NAMESPACE, tail=LOG_LINES, container="trainer").splitlines():
        print(f"  {line}"[:80])
    print(f"\n{kubectl(cluster, 'get', 'trainingjob', name, '-n', NAMESPACE)}")
    print(f"\n{name}: Succeeded, {seconds:.0f} s in all. To look around:\n")
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f"  export PATH={tool.kubectl_path().parent}:$PATH")
    if cluster.context:
        print(f"  kubectl config use-context {cluster.context}")
    print(f"  kubectl describe tj {name}")
    print("  kubectl apply -f your-job.yaml     # README.md: a job of your own")
    print(f"  kubectl delete tj {name}")
    print("  helm -n regatta-system uninstall regatta" if cluster.external else "  make cluster-down")
    sys.stdout.flush()


def worker_zero(api: Api, name: str) -> dict[str, Any]:
    """Worker 0's pod of the job's last attempt."""
    pods = api.list("pods", namespace=NAMESPACE, labels=f"regatta.dev/job={name},regatta.dev/worker=0")
    return max(pods, key=lambda pod: int(pod["metadata"]["labels"]["regatta.dev/attempt"]))
