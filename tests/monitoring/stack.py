"""The Prometheus operator and a Prometheus beside our own test cluster, as a monitored cluster has them inside.

The Prometheus operator turns the chart's monitors and rules into a configuration, as everywhere. Prometheus itself runs
on this machine, from where pods can be reached; of that configuration only what points into a container is changed.
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.tool import api as tool
from tests.cluster.tool import build, shell, state
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.processes import Component

__all__ = ["CRDS", "Prometheus", "Sample", "start", "stop"]

NAMESPACE: Final = "monitoring"
NAME: Final = "regatta"
RULES_READY: Final = 60.0
CRDS: Final = "prometheus-operator-crd"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer, and its value now."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus, by its address."""

    url: str

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its API."""
        address = f"{self.url}/api/v1/{path}"
        if query:
            address += "?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Sample]:
        """What an expression is now."""
        return [
            Sample(labels=found["metric"], value=float(found["value"][1]))
            for found in self.ask("query", query=expression)["result"]
        ]

    def targets(self, **labels: str) -> list[dict[str, Any]]:
        """The targets that have these labels, scraped or not."""
        found: list[dict[str, Any]] = self.ask("targets", state="active")["activeTargets"]
        return [target for target in found if labels.items() <= target["labels"].items()]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


def start(cluster: tool.Cluster, *, seconds: int = 2) -> Callable[[], Prometheus]:
    """Install the Prometheus operator's CRDs and start it; return what starts Prometheus with what the operator made.

    Between the two the chart is installed, whose objects need the CRDs. `seconds` is how often rules are evaluated.
    """
    if cluster.external:
        raise ToolError(
            "Prometheus runs on this machine and reads pods by their addresses, as our own cluster lets it:\n"
            "unset REGATTA_KUBECONFIG. On a cluster of yours, install the chart beside your own Prometheus operator."
        )
    paths = Paths.default()
    kubectl = cluster.kubectl()
    program = build.program(paths, "prometheus-operator")
    shell.run([*kubectl, "apply", "--server-side", "--force-conflicts", "-f", program.with_name(CRDS)])
    shell.run([*kubectl, "wait", "--for=condition=Established", "--timeout=60s", "-f", program.with_name(CRDS)])
    for wanted in ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, _object(seconds)):
        shell.run([*kubectl, "apply", "--server-side", "-f", "-"], stdin=json.dumps(wanted))
    build.program(paths, "prometheus")
    running = state.processes(paths)
    converter = _converter(paths, program)
    running.start(converter)
    running.wait(converter)
    return partial(_prometheus, cluster, paths)


def stop() -> None:
    """End both programs."""
    state.processes(Paths.default()).stop(["prometheus", "prometheus-operator"])


def _object(seconds: int) -> dict[str, Any]:
    """A Prometheus that takes all monitors and rules of all namespaces, and none of whose own pods runs."""
    everything: dict[str, Any] = {
        f"{kind}{what}": {}
        for kind in ("serviceMonitor", "podMonitor", "rule")
        for what in ("Selector", "NamespaceSelector")
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {**everything, "replicas": 0, "version": "v3.5.0", "evaluationInterval": f"{seconds}s"},
    }


def _converter(paths: Paths, program: Path) -> Component:
    port = paths.addresses.port(28080)
    return Component(
        name="prometheus-operator",
        argv=(
            *("env", f"KUBECONFIG={paths.kubeconfig}", str(program)),
            f"-web.listen-address=127.0.0.1:{port}",
            "-log-level=warn",
        ),
        ready=partial(_answers, f"http://127.0.0.1:{port}/metrics"),
    )


def _prometheus(cluster: tool.Cluster, paths: Paths) -> Prometheus:
    """Start Prometheus with the operator's configuration, once the chart's objects are in it."""
    folder = paths.cluster / "prometheus"
    made = _configuration(cluster)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "rules").mkdir(parents=True)
    for name, text in made["rules"].items():
        (folder / "rules" / name).write_text(text)
    (folder / "prometheus.yaml").write_text(_adapted(made["configuration"], folder, kubeconfig=paths.kubeconfig))
    port = paths.addresses.port(29090)
    component = Component(
        name="prometheus",
        argv=(
            str(build.program(paths, "prometheus")),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ),
        ready=partial(_answers, f"http://127.0.0.1:{port}/-/ready"),
    )
    running = state.processes(paths)
    running.stop(["prometheus"])
    running.start(component)
    running.wait(component)
    return Prometheus(f"http://127.0.0.1:{port}")


def _configuration(cluster: tool.Cluster) -> dict[str, Any]:
    """What the Prometheus operator made of all monitors and rules there are, as soon as it has."""
    kubectl = [*cluster.kubectl(), "--namespace", NAMESPACE]
    everywhere = [*cluster.kubectl(), "get", "podmonitors,servicemonitors,prometheusrules", "--all-namespaces"]
    wanted = json.loads(shell.run([*everywhere, "--output", "json"]))["items"]
    marks = [
        f"{each['kind'][0].lower()}{each['kind'][1:]}/{each['metadata']['namespace']}/{each['metadata']['name']}/"
        for each in wanted
        if each["kind"] != "PrometheusRule"
    ]
    files = {each["metadata"]["uid"] for each in wanted if each["kind"] == "PrometheusRule"}
    deadline = time.monotonic() + RULES_READY
    while True:
        secret = _get(kubectl, "secret", f"prometheus-{NAME}")
        maps = _get(kubectl, "configmap", f"prometheus-{NAME}-rulefiles-0")
        packed = base64.b64decode((secret.get("data") or {}).get("prometheus.yaml.gz", ""))
        configuration = gzip.decompress(packed).decode() if packed else ""
        rules: dict[str, str] = maps.get("data") or {}
        missing = [mark for mark in marks if mark not in configuration]
        missing += [uid for uid in files if not any(uid in name for name in rules)]
        if configuration and not missing:
            return {"configuration": configuration, "rules": rules}
        if time.monotonic() > deadline:
            log = state.processes(Paths.default()).log("prometheus-operator")
            said = shell.tail(log.read_text(errors="replace"))
            raise ToolError(f"the Prometheus operator made nothing of {', '.join(missing) or 'it all'}:\n{said}")
        time.sleep(0.3)


def _adapted(text: str, folder: Path, *, kubeconfig: Path) -> str:
    """The configuration with what is only true inside a pod replaced: variables, the account, the rules' folder."""
    known = {"$(SHARD)": "0", "$(POD_NAME)": NAME}
    for name, value in known.items():
        text = text.replace(name, value)
    configuration = yaml.safe_load(text)
    configuration["rule_files"] = [str(folder / "rules" / "*.yaml")]
    for scrape in configuration["scrape_configs"]:
        for discovery in scrape.get("kubernetes_sd_configs", []):
            discovery["kubeconfig_file"] = str(kubeconfig)
    return yaml.safe_dump(configuration, sort_keys=False)


def _get(kubectl: list[str], kind: str, name: str) -> dict[str, Any]:
    text = shell.run([*kubectl, "get", kind, name, "--ignore-not-found", "--output", "json"])
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    return found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
