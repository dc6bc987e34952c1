"""Flags and environment variables say the same things; what is wrong is refused with words."""

from __future__ import annotations

from typing import Any

import pytest

from regatta.api.defaults import JobDefaults
from regatta.api.spec import Gang
from regatta.control.settings import Settings, image_volumes, parse
from regatta.errors import ConfigurationError
from regatta.telemetry.metrics import Price


def test_without_anything_the_defaults_hold() -> None:
    settings = parse([], environment={"POD_NAME": "op-0", "POD_NAMESPACE": "system"})
    assert settings == Settings(identity="op-0", lease_namespace="system")


@pytest.mark.parametrize(
    ("flag", "variable", "text", "field", "value"),
    [
        ("--namespaces", "NAMESPACES", "a, b,,a", "namespaces", ("a", "b")),
        (
            "--framework-images",
            "FRAMEWORK_IMAGES",
            "PyTorch=r/p:1,Custom=r/c@sha256:1",
            "framework_images",
            {"PyTorch": "r/p:1", "Custom": "r/c@sha256:1"},
        ),
        ("--leader-election", "LEADER_ELECTION", "false", "leader_election", False),
        ("--renew-seconds", "RENEW_SECONDS", "2.5", "renew_seconds", 2.5),
        ("--silence-seconds", "SILENCE_SECONDS", "2.5", "silence_seconds", 2.5),
        ("--workers", "WORKERS", "7", "workers", 7),
        ("--measured-writes", "MEASURED_WRITES", "2.5", "measured_writes", 2.5),
        (
            "--prices",
            "PRICES",
            "nvidia.com/gpu=EUR:2.5,cpu=USD:1e-05",
            "prices",
            (
                Price(resource="nvidia.com/gpu", currency="EUR", hourly=2.5),
                Price(resource="cpu", currency="USD", hourly=0.00001),
            ),
        ),
        ("--log-level", "LOG_LEVEL", "Debug", "log_level", "debug"),
        ("--job-fence", "JOB_FENCE", "true", "job_fence", True),
        ("--job-metrics-from", "JOB_METRICS_FROM", "a,b", "job_metrics_from", ("a", "b")),
        ("--job-defaults", "JOB_DEFAULTS", '{"gang": "None"}', "job_defaults", JobDefaults(gang=Gang.NONE)),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("--") else "",
)
def test_a_flag_and_its_variable_mean_the_same(flag: str, variable: str, text: str, field: str, value: Any) -> None:
    assert getattr(parse([flag, text], environment={}), field) == value
    assert getattr(parse([], environment={f"REGATTA_OPERATOR_{variable}": text}), field) == value


def test_a_flag_wins_over_its_variable() -> None:
    assert parse(["--port", "1"], environment={"REGATTA_OPERATOR_PORT": "2"}).port == 1


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param(["--injection", "Magic"], {}, id="an unknown choice"),
        pytest.param(["--prices", "nvidia.com/gpu:2.5"], {}, id="a price without a currency"),
        pytest.param(["--prices", 'x"}=EUR:1'], {}, id="a resource that is none"),
        pytest.param(["--prices", "cpu=EUR:1,cpu=EUR:2"], {}, id="two prices"),
        pytest.param([], {"REGATTA_OPERATOR_INJECTION": "Magic"}, id="an unknown choice in the environment"),
        pytest.param(["--framework-images", "PyTroch=r/p:1"], {}, id="an unknown framework"),
        pytest.param(["--workers", "0"], {}, id="no workers"),
        pytest.param(["--silence-seconds", "0"], {}, id="a watch that is always silent"),
        pytest.param([], {"REGATTA_OPERATOR_PORT": "http"}, id="no number"),
        pytest.param(["--namespaces", "team-*"], {}, id="a pattern"),
        pytest.param(["--work", "3"], {}, id="an abbreviated flag"),
        pytest.param(["--job-defaults", '{"cleanup": "Some"}'], {}, id="a default that no job could have"),
        pytest.param([], {"REGATTA_OPERATOR_JOB_DEFAULTS": "{"}, id="defaults that are no JSON"),
    ],
)
def test_what_is_wrong_is_refused(
    arguments: list[str], environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments, environment=environment)
    assert "error" in capsys.readouterr().err


def test_processes_outside_pods_have_names_of_their_own() -> None:
    assert parse([], environment={}).identity != parse([], environment={}).identity


@pytest.mark.parametrize(
    ("injection", "version", "expected"),
    [
        ("Auto", {"major": "1", "minor": "35"}, True),
        ("Auto", {"major": "1", "minor": "34+"}, False),
        ("Auto", {"major": "1", "minor": "37"}, True),
        ("ImageVolume", {}, True),
        ("InitContainer", {"major": "1", "minor": "37"}, False),
    ],
)
def test_image_volumes_are_used_where_the_cluster_has_them(
    injection: str, version: dict[str, str], expected: bool
) -> None:
    assert image_volumes(injection, version) is expected


def test_a_version_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ConfigurationError, match="--injection"):
        image_volumes("Auto", {"gitVersion": "weird"})
