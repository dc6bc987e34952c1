"""What a container runtime's refusal to start a command is told as."""

from __future__ import annotations

import pytest

from regatta.plan.starting import cannot_start

LAYERS = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        pytest.param(
            f'{LAYERS}exec: "python3": executable file not found in $PATH',
            'exec: "python3": executable file not found in $PATH',
            "use an image with Python 3.8 or newer, or set spec.runtime to Off",
            id="no Python for the launcher",
        ),
        pytest.param(
            f'{LAYERS}exec: "/opt/bin/python3.11": stat /opt/bin/python3.11: no such file or directory',
            'exec: "/opt/bin/python3.11": stat /opt/bin/python3.11: no such file or directory',
            "use an image with Python 3.8 or newer",
            id="no such Python",
        ),
        pytest.param(
            f'{LAYERS}exec: "/train": permission denied',
            'exec: "/train": permission denied',
            "correct spec.command, or use an image that holds the program",
            id="another program",
        ),
        pytest.param("", "no reason given", "correct spec.command", id="no words"),
        pytest.param(LAYERS * 1000, "", "correct spec.command", id="a flood"),
    ],
)
def test_a_command_that_cannot_be_started_is_told_in_short_with_what_helps(words: str, what: str, fix: str) -> None:
    told, _, advice = cannot_start(words).rpartition("; ")

    assert told.startswith(f"the image cannot start the command: {what}")
    assert advice.startswith(fix)
    assert len(told) < 700
