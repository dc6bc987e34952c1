"""The operator's variables become one frozen configuration, or a message that names the wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.environment import Config, ConfigError, load

REQUIRED = {
    "REGATTA_JOB": "digits",
    "REGATTA_FRAMEWORK": "PyTorch",
    "REGATTA_ATTEMPT": "2",
    "REGATTA_WORKER": "1",
    "REGATTA_WORKERS": "4",
    "REGATTA_PROCESSES": "2",
    "REGATTA_COORDINATOR": "digits-2-0.digits:9465",
    "REGATTA_TOKEN": "0123abcd",
}


def config(**variables: str) -> Config:
    return load({**REQUIRED, **variables})


def test_what_the_operator_must_set_is_enough() -> None:
    found = config()
    assert (found.worker, found.workers, found.world_size) == (1, 4, 8)
    assert found.coordinator == ("digits-2-0.digits", 9465)
    assert (found.restarts, found.metrics_port, found.log_prefix, found.grace) == (0, 9464, True, None)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_each_of_them_is_missed_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        config(**{name: ""})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REGATTA_WORKERS", "0", "from 1 to"),
        ("REGATTA_WORKERS", "two", "whole number"),
        ("REGATTA_WORKERS", "\u0663", "whole number"),
        ("REGATTA_WORKER", "4", "must be below 4"),
        ("REGATTA_WORKER", "-1", "whole number"),
        ("REGATTA_PROCESSES", "1.5", "whole number"),
        ("REGATTA_COORDINATOR", "no-port", "HOST:PORT"),
        ("REGATTA_COORDINATOR", ":9465", "HOST:PORT"),
        ("REGATTA_COORDINATOR", "host:99999", "65535"),
        ("REGATTA_JOIN_TIMEOUT", "soon", "number of seconds"),
        ("REGATTA_JOIN_TIMEOUT", "nan", "number of seconds"),
        ("REGATTA_JOIN_TIMEOUT", "-1", "number of seconds"),
        ("REGATTA_LOG_PREFIX", "maybe", "must be 0 or 1"),
        ("REGATTA_FATAL_EXIT_CODES", "1,256", "from 1 to 255"),
        ("REGATTA_FATAL_OOM", "yes", "must be 0 or 1"),
        ("REGATTA_JOB", "a\nb", "printable ASCII"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as problem:
        config(**{name: value})
    assert name in str(problem.value)


def test_the_token_is_never_shown() -> None:
    with pytest.raises(ConfigError) as problem:
        config(REGATTA_TOKEN="secret\x00value")
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.0.0.1:1", ("10.0.0.1", 1)), ("[fd00::1]:9465", ("fd00::1", 9465)), ("a.b.c:65535", ("a.b.c", 65535))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert config(REGATTA_COORDINATOR=text).coordinator == expected


NAMES = st.sampled_from([*REQUIRED, "REGATTA_GRACE", "REGATTA_RESTARTS", "REGATTA_RUN_ONCE"])


@given(st.dictionaries(NAMES, st.text()))
def test_any_other_value_is_either_sound_or_told_with_its_variable(variables: dict[str, str]) -> None:
    told, sound = "", True
    try:
        found = config(**variables)
        sound = found.worker < found.workers
    except ConfigError as problem:
        told = str(problem)
    assert sound
    assert not told or any(name in told for name in variables)
