"""Derived names: those a user expects, and what becomes of long ones."""

from __future__ import annotations

from regatta.api import names


def test_a_pod_is_called_by_job_attempt_and_index() -> None:
    assert names.pod_name("resnet50", 3, 12) == "resnet50-3-12"


def test_a_long_name_is_cut_and_told_apart_by_a_hash() -> None:
    first, second = "a" * 63, "a" * 62 + "b"

    assert len(names.pod_name(first, 1, 0)) == 63
    assert names.pod_name(first, 1, 0) != names.pod_name(second, 1, 0)


def test_a_cut_never_ends_in_two_dashes() -> None:
    assert "--" not in names.pod_name("a" * 49 + "-" + "b" * 13, 1, 0)


def test_a_service_is_called_like_its_job() -> None:
    assert names.service_name("resnet50") == "resnet50"
    assert names.service_name("a" * 63) == "a" * 63


def test_a_service_begins_with_a_letter_even_if_its_job_does_not() -> None:
    derived = names.service_name("50-resnet")

    assert derived.startswith("job-50-resnet-")
    assert derived != names.service_name("job-50-resnet")


def test_a_config_map_is_called_after_its_job() -> None:
    assert names.source_name("resnet50") == "resnet50-source"


def test_a_token_belongs_to_one_attempt_of_one_job() -> None:
    tokens = {names.token("uid-1", 1), names.token("uid-1", 2), names.token("uid-2", 1), names.token("uid-1", 11)}

    assert len(tokens) == 4
    assert all(len(token) == 64 for token in tokens)
    assert names.token("uid-1", 1) in tokens
