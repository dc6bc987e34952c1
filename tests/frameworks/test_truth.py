"""Where a program says that its time went, the instruments say the same: each state within 2 % of the program's clock.

The first step is no part of either: it is `compile`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from regatta_runtime.install import install
from tests.frameworks.environments import PYTORCH
from tests.frameworks.running import PROGRAMS, run
from tests.unit.runtime.crew import Crew

WITHIN = 0.02


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr("tests.unit.runtime.crew.PATIENCE", 300.0)  # frameworks take long to import
    crew = Crew(tmp_path)
    yield crew
    crew.close()


def test_a_loader_that_takes_three_tenths_of_each_step(tmp_path: Path) -> None:
    told = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="40", FETCH="0.03", WORK="0.07")
    [truth] = told.results
    assert truth["waited"] / (truth["waited"] + truth["worked"]) == pytest.approx(0.3, abs=0.03)
    first = told.of("data_wait") - truth["waited"]  # the wait of the step that compiles
    assert first == pytest.approx(0.03, abs=0.03)
    assert told.of("data_wait") - 0.03 == pytest.approx(truth["waited"], rel=WITHIN)
    assert told.of("step") == pytest.approx(truth["worked"], rel=WITHIN)


def test_checkpoints_that_are_slow_to_save(tmp_path: Path) -> None:
    told = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="20", WORK="0.05", SAVE="0.3", SAVE_EVERY="5")
    [truth] = told.results
    assert truth["saved"] >= 4 * 0.3
    assert told.of("checkpoint_save") == pytest.approx(truth["saved"], rel=WITHIN)
    assert told.of("step") == pytest.approx(truth["worked"], rel=WITHIN)
    saves = told.reading().durations["checkpoint_save"]
    assert sum(saves.counts) == 4
    assert saves.sum == pytest.approx(truth["saved"], rel=WITHIN)
    assert told.reading().saved_bytes == (tmp_path / "checkpoint.pt").stat().st_size


def test_a_training_that_is_killed_does_known_steps_again(crew: Crew) -> None:
    folder = crew.folder
    install(str(folder / "regatta"))
    crew.env(
        PYTHONPATH=str(folder / "regatta"),
        OMP_NUM_THREADS="1",
        STEPS="30",
        WORK="0.12",
        OPTIMIZER="Adam",
        SAVE_EVERY="8",
        KILL_AT="20",
        HOLD="1",
    )
    folder.joinpath("start.sh").write_text(f"cd {folder} && exec {PYTORCH.python()} {PROGRAMS / 'torch_loop.py'}\n")
    crew.of(1).command("sh", str(folder / "start.sh")).start()
    crew.until("RESULT")
    crew.until_page("/metrics", 'regatta_runtime_steps_total{rank="0"} 34')  # 20, and 14 from the checkpoint after 16

    found = re.search(r"RESULT (.*)", crew.output)
    assert found is not None
    truth = json.loads(found[1])
    assert truth["began"] == 16
    page = crew.launchers[0].get("/metrics")[1]
    told = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page.splitlines() if line[0] != "#"}
    spent = {state: told[f'regatta_runtime_time_seconds_total{{rank="0",state="{state}"}}'] for state in ("rework",)}
    assert spent["rework"] == pytest.approx(truth["redone"], rel=WITHIN)  # steps 18 to 20: the 17th compiles
    assert told["regatta_runtime_lost_steps_total"] == 4
    assert told["regatta_runtime_global_step"] == 30
    assert '"globalStep": 30' in crew.launchers[0].get("/progress")[1]


def test_steps_that_an_earlier_attempt_is_known_to_have_done_are_done_again(tmp_path: Path) -> None:
    told = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="10", WORK="0.05", steps_done=6)
    assert (told.reading().lost, told.reading().global_step) == (6, 10)
    assert told.of("rework") == pytest.approx(5 * 0.05, rel=0.3)


def test_where_nobody_knows_the_step_nothing_is_said_of_steps_done_again(tmp_path: Path) -> None:
    first = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="8", SAVE_EVERY="8")  # SGD does not count its steps
    assert first.reading().global_step == 8
    again = run(PYTORCH, "torch_loop.py", tmp_path, STEPS="12", steps_done=10)
    assert again.results[0]["began"] == 8
    assert (again.reading().steps, again.reading().lost, again.reading().global_step) == (4, 0, None)
