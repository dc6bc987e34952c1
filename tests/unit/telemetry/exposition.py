"""What scrapes say, read as Prometheus reads it, and looked at as `promtool check metrics` does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.tool.api import promtool_path

__all__ = ["excerpt", "families", "problems", "value"]

_LABEL = re.compile(r"[a-z][a-z0-9_]*")
_UNITS = re.compile(r"_(ms|milliseconds|minutes|hours|days|kb|mb|percent)(_|$)")


def families(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name, each with its labels."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def value(text: str, sample: str, **labels: str) -> float:
    """The sum of a sample's values that carry these labels."""
    return sum(number for found, number in families(text).get(sample, ()) if labels.items() <= found.items())


def excerpt(text: str, *, rows: int = 200) -> str:
    """The first rows of each family: promtool takes minutes for a page of ten thousand jobs."""
    kept, left = [], 0
    for line in text.splitlines(keepends=True):
        left = rows if line.startswith("#") else left - 1
        if left >= 0:
            kept.append(line)
    return "".join(kept)


def problems(text: str) -> list[str]:
    """What is wrong with an exposition: what promtool says, and what it does not look at."""
    found = list(_problems(text))
    command = [promtool_path(), "check", "metrics"]
    checked = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    found += [line for line in (checked.stdout + checked.stderr).splitlines() if line]
    if checked.returncode and not found:
        found.append(f"promtool ended with {checked.returncode}")
    return found


def _problems(text: str) -> Iterator[str]:
    seen: set[str] = set()
    current = ""
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, current, kind = line.split()
            if current in seen:
                yield f"{current}: its lines are not together"
            seen.add(current)
            if kind == "counter" and not current.endswith("_total"):
                yield f"{current}: a counter ends with _total"
            if _UNITS.search(current):
                yield f"{current}: base units only"
        elif not line.startswith("#") and not line.startswith(current):
            yield f"{line}: stands below another family"
    for sample, rows in families(text).items():
        labels = [tuple(sorted(row.items())) for row, _ in rows]
        if len(set(labels)) < len(labels):
            yield f"{sample}: a series twice"
        for name in {name for row, _ in rows for name in row}:
            if not _LABEL.fullmatch(name):
                yield f"{sample}: label {name}"
