"""The chart's recording rules and alerts as Prometheus reads them. `python -m tests.monitoring.rules` prints them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.kit.release import CHART
from tests.cluster.tool import api as tool

__all__ = ["KINDS", "chart", "groups", "rendered"]

KINDS: Final = ("PodMonitor", "ServiceMonitor", "PrometheusRule")


def chart(
    values: Mapping[str, Any] | None = None, *, kinds: tuple[str, ...] = KINDS, folder: Path = CHART
) -> subprocess.CompletedProcess[str]:
    """Render the chart with monitoring for a cluster that serves these kinds of the Prometheus operator."""
    served = [word for kind in kinds for word in ("--api-versions", f"monitoring.coreos.com/v1/{kind}")]
    settings = {"monitoring.enabled": True, **(values or {})}
    given = [word for key, value in settings.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]
    command = [str(tool.helm_path()), "template", "regatta", str(folder), "--namespace", "regatta-system"]
    return subprocess.run([*command, *served, *given], capture_output=True, text=True, check=False)


def groups(values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rule groups of the chart's PrometheusRule."""
    done = chart(values)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    [rule] = [d for d in yaml.safe_load_all(done.stdout) if d and d["kind"] == "PrometheusRule"]
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


def rendered(values: Mapping[str, Any] | None = None) -> str:
    """The same as a rule file."""
    return yaml.safe_dump({"groups": groups(values)}, sort_keys=False, width=120)


if __name__ == "__main__":
    print(rendered(), end="")
