"""A script can say how far it is; it costs nothing and breaks nothing, inside Regatta or out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.runtime.crew import RUNTIME, Crew

REPORTING = """
from regatta_runtime import progress
for step in range(1, 1001):
    progress.report(step=step, total_steps=1000, epoch=step // 100)
"""


def page(crew: Crew, worker: int = 0) -> dict[str, Any]:
    return dict(json.loads(crew.launchers[worker].get("/progress")[1]))


def test_the_last_report_is_always_shown(crew: Crew) -> None:
    crew.of(1, 2).script(REPORTING + "wait()").start()
    crew.until("waiting in generation 1", times=2)
    crew.until_page("/progress", '"step": 1000')
    shown = page(crew)
    assert shown.pop("updatedAt")
    assert 0 <= shown.pop("stepAgeSeconds") < 30
    assert list(shown.pop("time")) == ["elapsed"], "nothing is measured here"
    assert shown == {
        "step": 1000,
        "totalSteps": 1000,
        "epoch": 10,
        "state": "running",
        "uid": "6f1c",
        "attempt": 1,
        "worker": 0,
        "generation": 1,
        "worldSize": 2,
        "globalStep": None,
        "pace": {},
        "restarts": 0,
        "failures": [],
    }


def test_a_report_held_back_is_sent_at_the_end_of_the_program(crew: Crew) -> None:
    crew.of(1).script("""
        from regatta_runtime import progress
        for step in range(1, 8): progress.report(step=step)
    """).start()
    assert crew.wait() == [0]
    assert crew.launchers[0].termination()["progress"] == {"step": 7, "totalSteps": None, "epoch": None}


def test_a_step_has_no_age_before_there_is_one(crew: Crew) -> None:
    crew.of(1).script("""
        from regatta_runtime import progress
        progress.report(epoch=0.5)
        wait()
    """).start()
    crew.until_page("/progress", '"epoch": 0.5')
    assert page(crew)["stepAgeSeconds"] is None


def test_the_age_of_a_step_grows_though_the_program_goes_on_talking_of_it(crew: Crew) -> None:
    crew.of(1).script("""
        from regatta_runtime import progress
        progress.report(step=7)
        began = time.monotonic()
        for epoch in range(1, 6):
            time.sleep(0.3)
            progress.report(step=7, epoch=epoch)
        say(f"talked for {time.monotonic() - began} s")
        wait()
    """).start()
    crew.until_page("/progress", '"epoch": 5')
    assert page(crew)["stepAgeSeconds"] >= 1.5


def test_a_step_done_again_after_a_restart_is_a_new_one(crew: Crew) -> None:
    crew.of(1).script("""
        from regatta_runtime import progress
        progress.report(step=7, epoch=generation)
        if generation == 1:
            time.sleep(1.5)
            sys.exit(1)
        wait()
    """).start()
    crew.until_page("/progress", '"epoch": 2')
    assert page(crew)["stepAgeSeconds"] < 1.5


def test_each_worker_shows_its_lowest_reporting_rank(crew: Crew) -> None:
    crew.of(2, 2).script("""
        from regatta_runtime import progress
        if local_rank == 1 or rank == 2: progress.report(step=10 + rank, total_steps=5)
        wait()
    """).start()
    crew.until_page("/progress", '"step": 11')
    crew.until_page("/progress", '"step": 12', worker=1)


@pytest.mark.parametrize(
    "record",
    [
        "b'not JSON'",
        "b'[1, 2]'",
        'b\'{"rank": 0, "step": -5}\'',
        'b\'{"rank": 77, "step": 5}\'',
        'b\'{"rank": 0, "step": "5"}\'',
        'b\'{"rank": 0, "step": NaN}\'',
        "b'['*4000",
        "b'x'*60000",
    ],
)
def test_a_nonsensical_record_is_ignored(crew: Crew, record: str) -> None:
    crew.of(1).script(f"""
        import socket
        from regatta_runtime import progress
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try: sock.sendto({record}, "\\0" + os.environ["REGATTA_PROGRESS"])
        except OSError: pass
        progress.report(step=3, total_steps=3)
        wait()
    """).start()
    crew.until_page("/progress", '"step": 3')
    assert page(crew)["totalSteps"] == 3


@pytest.mark.parametrize(
    "call",
    ["step=1", "step='one'", "step=object()", "epoch=float('nan')", "total_steps=[1]", "step=1, total_steps=0", ""],
)
@pytest.mark.parametrize("name", [None, "", "nobody-listens", "x" * 300, "\ud800"])
def test_a_report_never_raises(call: str, name: str | None) -> None:
    code = f"""
import os
name = {name!r}
if name is not None: os.environ["REGATTA_PROGRESS"] = name if name != "\\ud800" else "?"
import regatta_runtime
for _ in range(3): regatta_runtime.progress.report({call})
"""
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(RUNTIME)}, capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")


def test_a_forked_worker_reports_on_its_own(crew: Crew) -> None:
    crew.of(1).script("""
        from regatta_runtime import progress
        progress.report(step=1)
        if os.fork() == 0:
            progress.report(step=9, total_steps=9)
            os._exit(0)
        os.wait()
        wait()
    """).start()
    crew.until_page("/progress", '"step": 9')
