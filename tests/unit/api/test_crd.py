"""The generated CRD: current, small, structural, and complete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from regatta.api import crd as module
from regatta.api.cel import EDITABLE, rules
from regatta.api.core import VOLUME_SOURCES
from regatta.api.spec import TrainingJobSpec

CRD = module.crd()
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


def test_the_file_is_what_the_models_generate() -> None:
    assert module.main(["--check"]) == 0


def test_a_file_that_differs_is_told_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / "crd.yaml"
    stale.write_text(module.render().replace("workers", "wrokers"), encoding="utf-8")

    assert module.main(["--check", "--path", str(stale)]) == 1
    assert "run `python -m regatta.api.crd`" in capsys.readouterr().err


def test_writing_makes_the_check_pass(tmp_path: Path) -> None:
    path = tmp_path / "new" / "crd.yaml"

    assert module.main(["--path", str(path)]) == 0
    assert module.main(["--check", "--path", str(path)]) == 0
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == CRD


def test_it_fits_where_kubectl_apply_keeps_it() -> None:
    assert len(module.render().encode()) < module.MAX_BYTES


def test_every_value_has_one_type_and_a_description() -> None:
    for path, node in nodes(SCHEMA):
        if node.get("x-kubernetes-int-or-string"):
            continue
        assert node.get("type") in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert not node.keys() & {"$ref", "anyOf", "oneOf", "title", "$defs", "const", "prefixItems"}, path


def test_everything_a_user_writes_is_explained() -> None:
    lacking = [path for path, node in nodes(SCHEMA["properties"]["spec"], "spec") if not node.get("description")]
    explained_above = ("[]", ".tolerations", *(f".{kind}" for kind in VOLUME_SOURCES))

    assert [path for path in lacking if not path.endswith(explained_above)] == []


def test_every_list_that_rules_walk_is_bounded() -> None:
    for path, node in nodes(SCHEMA["properties"]["spec"], "spec"):
        if node["type" if "type" in node else "x-kubernetes-int-or-string"] == "array":
            assert "maxItems" in node, path


def test_columns_are_those_of_the_contract() -> None:
    shown = [column["name"] for column in VERSION["additionalPrinterColumns"] if not column["priority"]]

    assert shown == ["Phase", "Reason", "Workers", "Attempt", "Progress", "Goodput", "Age"]


def test_status_is_a_subresource_and_the_short_name_is_tj() -> None:
    assert VERSION["subresources"] == {"status": {}}
    assert CRD["spec"]["names"]["shortNames"] == ["tj"]


def test_every_field_is_either_frozen_or_editable_on_purpose() -> None:
    [rule] = [rule for rule in rules() if "oldSelf" in rule.rule]
    frozen = set(re.findall(r"self\.spec\.([\w.]+) == oldSelf", rule.rule))
    fields = {str(field.alias) for field in TrainingJobSpec.model_fields.values()}

    assert frozen == (fields - set(EDITABLE)) | {"restart.rules"}
    assert set(EDITABLE) <= fields
