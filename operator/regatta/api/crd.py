"""Generates the CustomResourceDefinition from the models, and checks that the file in crds/ is the generated one.

python -m regatta.api.crd            writes crds/regatta.dev_trainingjobs.yaml
python -m regatta.api.crd --check    exits with 1 where the file differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

import regatta
from regatta.api import cel, names
from regatta.api.spec import TrainingJobSpec
from regatta.api.status import TrainingJobStatus
from regatta.api.structural import structural_schema

__all__ = ["MAX_BYTES", "NAME", "VERSION_ANNOTATION", "crd", "render"]

NAME: Final = f"{names.PLURAL}.{names.GROUP}"
MAX_BYTES: Final = 262_144
"""What fits into the annotation that `kubectl apply` writes."""
VERSION_ANNOTATION: Final = "app.kubernetes.io/version"
PATH: Final = Path(__file__).parents[3] / "crds" / f"{names.GROUP}_{names.PLURAL}.yaml"

_HEADER: Final = "# Generated from operator/regatta/api by `python -m regatta.api.crd`; change it there.\n"
_COLUMNS: Final = (
    ("Phase", "string", ".status.phase", 0),
    ("Reason", "string", ".status.reason", 0),
    ("Workers", "string", ".status.workers.summary", 0),
    ("Attempt", "integer", ".status.attempt", 0),
    ("Progress", "string", ".status.progress.summary", 0),
    ("Goodput", "number", ".status.efficiency.goodput", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Framework", "string", ".spec.framework", 1),
    ("Message", "string", ".status.message", 1),
)


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as the API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": NAME,
            "annotations": {VERSION_ANNOTATION: regatta.__version__},
            "labels": {"app.kubernetes.io/name": "regatta", "app.kubernetes.io/part-of": "regatta"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.KIND.lower(),
                "shortNames": [names.SHORT_NAME],
                "categories": ["all", "regatta"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
                        for name, kind, path, priority in _COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def render() -> str:
    """The file's text."""
    return _HEADER + yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def _schema() -> dict[str, Any]:
    spec = structural_schema(TrainingJobSpec)
    status = structural_schema(TrainingJobStatus)
    # What `kubectl get` columns show; written by the operator, never read.
    summary = {"type": "string", "description": "What `kubectl get` shows."}
    for field in ("workers", "progress"):
        status["properties"][field]["properties"]["summary"] = summary
    root = {
        "type": "object",
        "description": "A TrainingJob runs one distributed training: a crew of pods that train together.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {names.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {names.KIND}."},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": spec,
            "status": status,
        },
    }
    for rule in cel.rules():
        _at(root, rule.at).setdefault("x-kubernetes-validations", []).append(rule.to_api())
    return root


def _at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    for step in filter(None, path.split(".")):
        schema = schema["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            schema = schema["items"]
    return schema


class _Dumper(yaml.SafeDumper):
    """Writes shared parts out instead of as anchors, which not every reader of YAML resolves."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _differences(path: Path) -> Iterator[str]:
    text = render()
    if len(text.encode()) >= MAX_BYTES:
        yield f"{path}: {len(text.encode())} bytes; a CRD must stay below {MAX_BYTES}"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        yield f"{path} is not what the models generate; run `python -m regatta.api.crd` and commit the file"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m regatta.api.crd", description="Generate the CRD of TrainingJobs.")
    parser.add_argument("--check", action="store_true", help="exit with 1 where the file is not the generated one")
    parser.add_argument("--path", type=Path, default=PATH, help="the file (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.check:
        problems = list(_differences(options.path))
        print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
        return 1 if problems else 0
    options.path.parent.mkdir(parents=True, exist_ok=True)
    options.path.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
