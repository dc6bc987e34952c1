"""docs/helm.md says nothing of the chart that no test holds it to."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from regatta.control.settings import Settings

REPO: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (REPO / "docs" / "helm.md").read_text()
BY_VALUES: Final = {
    *("namespaces", "runtime_image", "operator_image", "feed_image", "framework_images", "image_pull_policy"),
    *("injection", "prices"),
    *("job_defaults", "job_fence", "job_egress", "job_metrics_from", "port", "stop_seconds", "log_level"),
    *("lease_name", "lease_seconds", "renew_seconds", "retry_seconds"),
}
OF_THE_PLACE: Final = {"kubeconfig", "context", "identity", "lease_namespace"}
"""What an operator in a pod knows by itself."""


def names_of_tests() -> set[str]:
    files = [file for folder in ("unit", "cluster") for file in (REPO / "tests" / folder).rglob("test_*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def comparison() -> list[list[str]]:
    """Rows of the comparison with other charts, without its head."""
    lines = PAGE.partition("## Beside other charts")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    return rows[2:]


def test_each_row_of_the_comparison_names_tests_that_exist() -> None:
    existing = names_of_tests()
    rows = comparison()

    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row[-1])
        assert len(row) == 9, row
        assert row[7] not in {"", "-", "not read"}, row
        assert named, row
        assert set(named) <= existing, set(named) - existing


def test_every_flag_that_no_value_sets_is_listed_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `--([a-z-]+)` \| (\S+) \|", PAGE, re.MULTILINE))
    fields = set(Settings.__dataclass_fields__) - BY_VALUES - OF_THE_PLACE

    assert {name.replace("-", "_") for name in listed} == fields
    for name, default in listed.items():
        known = Settings.__dataclass_fields__[name.replace("-", "_")].default
        said = {True: "true", "": "all"}.get(known, f"{known:g}" if isinstance(known, int | float) else known)
        assert default == said, name
