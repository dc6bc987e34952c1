"""From nothing to pictures: a cluster, Prometheus as its operator configures it, the chart, a run, the dashboards."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.cluster.kit import Api, job, program, release
from tests.cluster.kit.waiting import wait_for
from tests.cluster.tool import api as tool
from tests.cluster.tool.paths import REPO, Paths
from tests.demo.demo import DemoError
from tests.monitoring import stack
from tests.monitoring.stack import Prometheus

__all__ = ["run"]

NAMESPACE: Final = "default"
NAME: Final = "observed"
WORKERS: Final = 2
STEP_SECONDS: Final = 0.3
"""Of the example: it sleeps in its dataset, in its steps and while it saves."""
RENDERER: Final = "tests.dashboards.render"
OFTEN: Final = {"interval": "5s", "scrapeTimeout": "5s"}
"""Three minutes are short: at the usual thirty seconds there would be six points."""
SHOWN: Final = {
    "training steps": f'sum by (rank) (regatta_runtime_steps_total{{trainingjob="{NAME}"}})',
    "goodput": f'namespace_trainingjob:regatta_goodput:ratio_rate5m{{trainingjob="{NAME}"}}',
    "waits for data": f'namespace_trainingjob:regatta_data_stall:ratio_rate5m{{trainingjob="{NAME}"}}',
    "samples per second": f'sum(rate(regatta_runtime_samples_total{{trainingjob="{NAME}"}}[1m]))',
    "operators that lead": "sum(regatta_leader)",
}


def run(*, seconds: int, out: Path | None) -> None:
    """Run all steps; raise one of the errors that `__main__` prints."""
    with step(1, "a Kubernetes cluster, and the Prometheus operator beside it"):
        cluster = tool.ensure_cluster()
        begin = stack.start(cluster, seconds=5)
    with step(2, "the images of this work tree"):
        images = tool.ensure_images(cluster, ("operator", "runtime", "pytorch"))
    with step(3, "helm upgrade --install regatta charts/regatta --set monitoring.enabled=true, and Prometheus"):
        monitoring = {"serviceMonitor": {**OFTEN, "jobsInterval": "5s"}, "podMonitor": OFTEN}
        release.install(cluster, images, {"monitoring": {"enabled": True, **monitoring}})
        prometheus = begin()
    started = time.time()
    with step(4, f"a training run of {WORKERS} workers, about {seconds} s"), api_of(cluster) as api:
        train(api, prometheus, seconds=seconds)
    with step(5, "what Prometheus knows of it"):
        show(prometheus)
    with step(6, "pictures"):
        draw(prometheus, since=started, out=out or Paths.default().cache / "observe")
    print(f"\nPrometheus answers on {prometheus.url} until `make cluster-down`. To ask it:")
    print(f"  curl -s {prometheus.url}/api/v1/query --data-urlencode 'query={SHOWN['goodput']}'")


@contextlib.contextmanager
def step(number: int, what: str) -> Iterator[None]:
    """Tell a step before it is taken and how long it took after it."""
    print(f"[{number}/6] {what}", flush=True)
    before = time.monotonic()
    yield
    print(f"      done in {time.monotonic() - before:.1f} s", flush=True)


@contextlib.contextmanager
def api_of(cluster: tool.Cluster) -> Iterator[Api]:
    """The API server, for as long as the context is open."""
    api = Api(kubeconfig=cluster.kubeconfig, context=cluster.context)
    try:
        yield api
    finally:
        api.close()


def train(api: Api, prometheus: Prometheus, *, seconds: int) -> None:
    """Run the example to its success, and wait until Prometheus has seen it."""
    api.delete("trainingjobs", NAME, namespace=NAMESPACE)
    wait_for("the last run to be gone", lambda: not _exists(api), timeout=60)
    manifest = (
        job(NAME)
        .workers(WORKERS)
        .source(train=program("sleeps"))
        .env(STEPS=str(max(20, int(seconds / STEP_SECONDS))))
        .obj()
    )
    api.create("trainingjobs", manifest, namespace=NAMESPACE)
    seen = False
    deadline = time.monotonic() + seconds * 2 + 120
    while True:
        status = api.get("trainingjobs", NAME, namespace=NAMESPACE).get("status", {})
        steps = prometheus.query(f'regatta_runtime_steps_total{{trainingjob="{NAME}"}}')
        if not seen and len(steps) == WORKERS:
            seen = True
            print(f"      Prometheus reads {', '.join(sorted(s.labels['pod'] for s in steps))}", flush=True)
        if status.get("phase") in {"Succeeded", "Failed"}:
            break
        if time.monotonic() > deadline:
            raise DemoError(f"{NAME} is still {status.get('phase')}: {status.get('message')}")
        time.sleep(1)
    if status["phase"] == "Failed" or not seen:
        targets = [(t["scrapeUrl"], t["health"], t["lastError"]) for t in prometheus.targets()]
        raise DemoError(f"{NAME} is {status['phase']}, seen in Prometheus: {seen}; targets: {targets}")


def show(prometheus: Prometheus) -> None:
    """Print what the series say; a finished pod's are found for five minutes."""
    for title, expression in SHOWN.items():
        found = [f"{sample.value:.4g}" for sample in prometheus.query(f"last_over_time(({expression})[5m:5s])")]
        print(f"      {title:<22} {', '.join(found) or '-'}")
    targets = prometheus.targets()
    print(
        f"      {'targets that are up':<22} {sum(t['health'] == 'up' for t in targets)} of {len(targets)}", flush=True
    )


def draw(prometheus: Prometheus, *, since: float, out: Path) -> None:
    """Have the dashboards drawn from the run's data."""
    out.mkdir(parents=True, exist_ok=True)
    command: list[Any] = [sys.executable, "-m", RENDERER, "--prometheus", prometheus.url, "--out", out]
    times = ["--from", f"{since:.0f}", "--to", f"{time.time():.0f}"]
    variables = ["--var", f"namespace={NAMESPACE}", "--var", f"trainingjob={NAME}"]
    done = subprocess.run([*map(str, command), *times, *variables], cwd=REPO, check=False)
    if done.returncode != 0:
        raise DemoError("the dashboards could not be drawn: see above")
    for picture in sorted(out.glob("*.png")):
        print(f"      {picture}", flush=True)


def _exists(api: Api) -> bool:
    return api.find("trainingjobs", NAME, namespace=NAMESPACE) is not None
