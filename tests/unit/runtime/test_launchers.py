"""Commands that start the processes themselves are run once a pod, and find what they expect."""

from __future__ import annotations

import sys

import pytest

from regatta_runtime import launchers
from regatta_runtime.environment import load
from regatta_runtime.frameworks.place import Place
from tests.unit.runtime.crew import Crew
from tests.unit.runtime.test_environment import REQUIRED


def place(*, master: str = "10.1.2.3", workers: int = 4) -> Place:
    config = load({**REQUIRED, "REGATTA_WORKERS": str(workers), "REGATTA_WORKER": str(workers - 1)})
    return Place(config=config, local_rank=0, generation=3, master=(master, 23456), restarts=2)


@pytest.mark.parametrize(
    ("command", "launcher"),
    [
        (["torchrun", "train.py"], "torchrun"),
        (["/opt/venv/bin/torchrun", "--nnodes=2", "train.py"], "torchrun"),
        (["python", "-m", "torch.distributed.run", "train.py"], "torchrun"),
        (["python3.11", "-u", "-m", "torch.distributed.launch", "train.py"], "torchrun"),
        (["python3", "-mtorch.distributed.run", "train.py"], "torchrun"),
        (["python", "/usr/bin/torchrun", "train.py"], "torchrun"),
        (["accelerate", "launch", "train.py"], "accelerate"),
        (["accelerate-launch", "train.py"], "accelerate"),
        (["python", "-m", "accelerate.commands.launch", "train.py"], "accelerate"),
        (["deepspeed", "train.py"], "deepspeed"),
        (["horovodrun", "-np", "4", "python", "train.py"], "horovodrun"),
        (["mpirun", "python", "train.py"], "mpirun"),
        (["env", "A=1", "torchrun", "train.py"], "torchrun"),
        (["numactl", "--cpunodebind=0", "torchrun", "train.py"], "torchrun"),
        (["bash", "-c", "pip install x && exec torchrun train.py"], "torchrun"),
        (["sh", "-ec", "cd /workspace; torchrun train.py"], "torchrun"),
        (["bash", "-lc", "A=1 python -m torch.distributed.run train.py"], "torchrun"),
        (["python", "train.py"], None),
        (["python", "train.py", "-m", "torch.distributed.run"], None),
        (["python", "train.py", "torchrun"], None),
        (["python", "-c", "print('torchrun')"], None),
        (["python"], None),
        (["python", "-m"], None),
        (["accelerate", "env"], None),
        (["./train"], None),
        (["bash", "run.sh"], None),
        (["bash", "-c", "echo torchrun"], None),
        (["bash", "-c", "unbalanced 'quote"], None),
        (["bash", "-c"], None),
        (["env"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_launchers_are_told_from_training_programs(command: list[str], launcher: str | None) -> None:
    assert launchers.recognise(command) == launcher


def test_torchrun_is_left_alone_and_told_where_to_meet() -> None:
    command, environment, warning = launchers.prepare("torchrun", ["torchrun", "train.py"], place())
    assert command == ["torchrun", "train.py"]
    assert environment == {
        "MASTER_ADDR": "10.1.2.3",
        "MASTER_PORT": "23456",
        "PET_NNODES": "4",
        "PET_NODE_RANK": "3",
        "PET_NPROC_PER_NODE": "2",
        "PET_MAX_RESTARTS": "0",
        "PET_MASTER_ADDR": "10.1.2.3",
        "PET_MASTER_PORT": "23456",
        "PET_RDZV_BACKEND": "static",
        "PET_RDZV_ENDPOINT": "10.1.2.3:23456",
        "PET_RDZV_ID": "digits-2-3",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    assert not warning


def test_an_ipv6_endpoint_has_its_brackets() -> None:
    _, environment, _ = launchers.prepare("torchrun", ["torchrun", "t.py"], place(master="fd00::7"))
    assert environment["PET_RDZV_ENDPOINT"] == "[fd00::7]:23456"
    assert environment["MASTER_ADDR"] == "fd00::7"


def test_accelerate_gets_the_flags_that_the_user_left_out() -> None:
    command, _, _ = launchers.prepare(
        "accelerate", ["accelerate", "launch", "--num_processes", "2", "train.py", "--lr", "1"], place()
    )
    assert command == [
        "accelerate",
        "launch",
        "--num_machines=4",
        "--machine_rank=3",
        "--main_process_ip=10.1.2.3",
        "--main_process_port=23456",
        "--num_processes",
        "2",
        "train.py",
        "--lr",
        "1",
    ]


@pytest.mark.parametrize(
    ("launcher", "command", "words"),
    [
        ("torchrun", ["torchrun", "--standalone", "t.py"], "makes every worker train alone"),
        ("mpirun", ["mpirun", "t"], "mpirun reaches other workers by ssh"),
        ("deepspeed", ["deepspeed", "t.py"], "deepspeed reaches other workers by ssh"),
        ("accelerate", ["bash", "-c", "accelerate launch t.py"], "--num_machines=$PET_NNODES"),
    ],
)
def test_what_cannot_work_over_several_workers_is_said(launcher: str, command: list[str], words: str) -> None:
    unchanged, _, warning = launchers.prepare(launcher, command, place())
    assert unchanged == command
    assert words in warning


@pytest.mark.parametrize("launcher", ["mpirun", "deepspeed", "torchrun"])
def test_on_one_worker_there_is_nothing_to_warn_of(launcher: str) -> None:
    assert not launchers.prepare(launcher, [launcher, "--standalone", "t"], place(workers=1))[2]


FAKE = """#!{python} -S
import os
print("once", *(os.environ.get(name, "none") for name in ("PET_NODE_RANK", "PET_RDZV_ID", "RANK", "LOCAL_RANK")))
"""


def test_a_launcher_runs_once_a_pod_under_the_workers_name(crew: Crew) -> None:
    program = crew.folder / "torchrun"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    crew.of(2, 4).command(str(program), "train.py").start()
    assert crew.wait() == [0, 0]
    lines = sorted(line for line in crew.output.splitlines() if "once" in line)
    assert [line.split()[:3] for line in lines] == [["[w0]", "once", "0"], ["[w1]", "once", "1"]]
    assert all(line.endswith("-1-1 none none") for line in lines)


@pytest.mark.parametrize(("switch", "times"), [("1", 1), ("0", 2)])
def test_the_user_can_say_so_where_it_cannot_be_seen(crew: Crew, switch: str, times: int) -> None:
    crew.of(1, 2).command("/bin/echo", "started").env(REGATTA_RUN_ONCE=switch).start()
    assert crew.wait() == [0]
    assert crew.output.count("] started") == times
