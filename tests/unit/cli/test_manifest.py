"""Manifests are read as kubectl reads them, and every field has a line."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from regatta.cli.manifest import Manifest, read_manifests
from regatta.errors import UsageError


def read(text: str) -> Manifest:
    (manifest,) = read_manifests(textwrap.dedent(text), source="job.yaml")
    return manifest


JOB = """\
    kind: TrainingJob
    metadata: {name: digits}
    spec:
      workers: 0
      source:
        inline:
          my file.py: |
            x = 1
      env:
        - name: A
          value: "1"
        - {name: B,
           value: "2"}
    """


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("kind", 1),
        ("metadata.name", 2),
        ("spec", 3),
        ("spec.workers", 4),
        ('spec.source.inline["my file.py"]', 7),
        ("spec.env[0]", 10),
        ("spec.env[0].value", 11),
        ("spec.env[1].value", 13),
        ("spec.env[1].valueFrom", 12),
        ("spec.command", 3),
        ('spec.source.inline["no such.py"]', 6),
        ("nothing.at.all", 1),
    ],
)
def test_a_path_has_the_line_of_its_field_or_of_what_lacks_it(path: str, line: int) -> None:
    assert read(JOB).line(path) == line


def test_a_field_written_twice_is_told() -> None:
    (problem,) = read("spec:\n  workers: 1\n  workers: 2\n").problems

    assert (problem.path, "line 2" in problem.message) == ("spec.workers", True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("v: Off", False),
        ("v: 2026-01-02", "2026-01-02"),
        ("v: 1:30", "1:30"),
        ("v: 10", 10),
        ("v: 0o10", "0o10"),
        ("v: 010", 8),
        ("v: 1.5", 1.5),
        ("v: 1e3", 1000.0),
        ("v: 1.2.3", "1.2.3"),
        ('v: "10"', "10"),
        ("v:", None),
    ],
)
def test_values_are_those_that_kubectl_would_send(text: str, value: Any) -> None:
    read_value = read(text).object["v"]

    assert read_value == value
    assert type(read_value) is type(value)


def test_keys_are_texts_as_in_json() -> None:
    assert read("80: a\ntrue: b\nc: d\n").object == {"80": "a", "true": "b", "c": "d"}


def test_a_file_may_hold_several_objects_and_none() -> None:
    assert [m.object["kind"] for m in read_manifests("kind: A\n---\n---\nkind: B\n", source="x")] == ["A", "B"]
    assert read_manifests("", source="x") == ()


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "- a", "just words", "a: !!python/object:os.system x", "a: *b"])
def test_what_is_no_object_is_told_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"job\.yaml:1: "):
        read_manifests(text, source="job.yaml")


def test_an_alias_of_what_is_around_it_does_not_hang() -> None:
    manifest = read("a: &a\n  b: *a\n")

    assert manifest.line("a.b") == 2
