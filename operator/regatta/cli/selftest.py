"""What `helm test` runs inside the cluster: `python -m regatta.cli.selftest`.

A job of two workers is created, its metrics are read while it trains, and it must succeed. It trains on CPUs, in the
operator's own image, so nothing has to be pulled that is not there; its account may create, read and delete jobs and
list pods in one namespace, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from regatta.api import names

__all__ = ["Failed", "manifest", "run", "samples"]

WORKERS: Final = 2
STEPS: Final = 20
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_METRICS_PORT: Final = 9464
_PROGRAM: Final = f"""
import os, time
from regatta_runtime import progress
assert os.environ["WORLD_SIZE"] == "{WORKERS}", os.environ["WORLD_SIZE"]
for step in range({STEPS}):
    time.sleep(0.5)
    progress.report(step=step + 1, total_steps={STEPS})
print("rank", os.environ["RANK"], "is done")
"""

Call = Callable[..., dict[str, Any]]


class Failed(Exception):  # noqa: N818 - the outcome of a test, not a fault of this program
    """The installation does not do what it should; the text says what was seen."""


def manifest(*, name: str, image: str, pull_policy: str) -> dict[str, Any]:
    """Return the job: it meets the restricted Pod Security Standard and leaves nothing behind for long."""
    trainer = {"name": names.TRAINER, "imagePullPolicy": pull_policy}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "test"}},
        "spec": {
            "framework": "Custom",
            "image": image,
            "command": ["python", "-c", _PROGRAM],
            "workers": WORKERS,
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "podTemplate": {"spec": {"securityContext": {"runAsNonRoot": True}, "containers": [trainer]}},
            "ttlSecondsAfterFinished": 600,
        },
    }


def samples(text: str) -> list[str]:
    """Names of Regatta's own metrics in a Prometheus exposition."""
    lines = (line for line in text.splitlines() if line.startswith("regatta_"))
    return sorted({line.partition("{")[0].partition(" ")[0] for line in lines})


def run(
    *,
    call: Call,
    read: Callable[[str], str],
    job: Mapping[str, Any],
    namespace: str,
    timeout: float,
    operator_metrics: str,
    say: Callable[[str], None] = print,
) -> None:
    """See one job through; raises `Failed` with what was seen instead."""
    jobs = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}"
    name = job["metadata"]["name"]
    end = time.monotonic() + timeout
    call("POST", jobs, job)
    say(f"created {namespace}/{name}: {WORKERS} workers on CPUs")
    told = ""
    measured: dict[str, list[str]] = {}
    try:
        while True:
            status = call("GET", f"{jobs}/{name}").get("status") or {}
            words = f"{status.get('phase', 'not taken up yet')}: {status.get('message', '')}"
            if words != told:
                say(told := words)
            if status.get("phase") in {"Succeeded", "Failed"}:
                break
            if time.monotonic() > end:
                raise Failed(f"not finished after {timeout:.0f} s; its last words: {words}")
            _measure(call, read, namespace=namespace, name=name, measured=measured)
            time.sleep(0.5)
        if status["phase"] != "Succeeded":
            raise Failed(f"the job failed: {status.get('reason')}: {status.get('message')}")
        if len(measured) < WORKERS:
            raise Failed(f"metrics of {len(measured)} of {WORKERS} workers could be read on port {_METRICS_PORT}")
        for pod, found in sorted(measured.items()):
            say(f"metrics of {pod}: {', '.join(found)}")
        if operator_metrics:
            found = samples(read(operator_metrics))
            if not found:
                raise Failed(f"{operator_metrics} has no metric of the operator")
            say(f"metrics of the operator: {', '.join(found)}")
    finally:
        call("DELETE", f"{jobs}/{name}")
    say("all is well")


def _measure(
    call: Call, read: Callable[[str], str], *, namespace: str, name: str, measured: dict[str, list[str]]
) -> None:
    """Read the metrics of those workers that have not been heard yet."""
    query = f"?labelSelector={names.LABEL_JOB}%3D{name}"
    for pod in call("GET", f"/api/v1/namespaces/{namespace}/pods{query}")["items"]:
        address = pod.get("status", {}).get("podIP")
        if not address or pod["metadata"]["name"] in measured:
            continue
        host = f"[{address}]" if ":" in address else address
        # Not there yet, or gone already: both are told by the job's own end.
        with contextlib.suppress(OSError):
            found = samples(read(f"http://{host}:{_METRICS_PORT}/metrics"))
            if found:
                measured[pod["metadata"]["name"]] = found


def _caller() -> Call:
    """Return a function that sends one request to the API server as the pod's own account."""
    server = f"https://{_host()}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))

    def call(method: str, path: str, body: object = None) -> dict[str, Any]:
        token = (_ACCOUNT / "token").read_text(encoding="ascii").strip()
        request = urllib.request.Request(  # noqa: S310 - the address is https
            server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=trust) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
        return found

    return call


def _host() -> str:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    return f"[{host}]" if ":" in host else host


def _read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - addresses of pods and of our own Service
        return str(answer.read().decode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test; 0 when the installation works."""
    parser = argparse.ArgumentParser(prog="python -m regatta.cli.selftest", description="Try an installation out.")
    parser.add_argument("--namespace", required=True, help="where the job runs")
    parser.add_argument("--image", required=True, help="image of its workers, with Python")
    parser.add_argument("--pull-policy", default="IfNotPresent", help="of that image")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds")
    parser.add_argument("--operator-metrics", default="", help="address of the operator's metrics")
    options = parser.parse_args(arguments)
    job = manifest(name=f"selftest-{int(time.time()):x}", image=options.image, pull_policy=options.pull_policy)
    try:
        run(
            call=_caller(),
            read=_read,
            job=job,
            namespace=options.namespace,
            timeout=options.timeout,
            operator_metrics=options.operator_metrics,
        )
    except (Failed, OSError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
