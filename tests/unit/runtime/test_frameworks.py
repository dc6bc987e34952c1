"""Training processes find exactly the environment that their framework's own launcher would give them."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.unit.runtime.crew import RUNTIME, Crew

# torchrun's documented variables, with their meaning for worker 1 of 2 with 2 processes each, as (local rank -> value).
TORCHRUN = {
    "LOCAL_RANK": ["0", "1"],
    "RANK": ["2", "3"],
    "GROUP_RANK": ["1", "1"],
    "ROLE_RANK": ["2", "3"],
    "LOCAL_WORLD_SIZE": ["2", "2"],
    "WORLD_SIZE": ["4", "4"],
    "ROLE_WORLD_SIZE": ["4", "4"],
    "GROUP_WORLD_SIZE": ["2", "2"],
    "ROLE_NAME": ["default", "default"],
    "MASTER_ADDR": ["127.0.0.1", "127.0.0.1"],
    "TORCHELASTIC_RESTART_COUNT": ["0", "0"],
    "TORCHELASTIC_MAX_RESTARTS": ["3", "3"],
    "TORCHELASTIC_RUN_ID": ["6f1c", "6f1c"],
    "TORCHELASTIC_USE_AGENT_STORE": ["False", "False"],
    "TORCHELASTIC_ERROR_FILE": ["", ""],
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": ["1", "1"],
    "OMP_NUM_THREADS": ["1", "1"],
}
SHOW = """
import json
say("ENV " + json.dumps(dict(os.environ)))
"""


def environments(crew: Crew) -> dict[int, dict[str, str]]:
    lines = [line.split(" ENV ", 1) for line in crew.output.splitlines() if " ENV " in line]
    return {int(prefix.strip("[]")): json.loads(text) for prefix, text in lines}


def test_pytorch_processes_find_what_torchrun_gives(crew: Crew) -> None:
    crew.of(2, 2).script(SHOW).start()
    assert crew.wait() == [0, 0]
    found = environments(crew)
    for local_rank in (0, 1):
        mine = found[2 + local_rank]
        assert {name: mine.get(name) for name in TORCHRUN} == {n: v[local_rank] for n, v in TORCHRUN.items()}
    assert len({env["MASTER_PORT"] for env in found.values()}) == 1


def test_custom_processes_find_the_common_numbers_and_nothing_of_torch(crew: Crew) -> None:
    crew.of(2).script(SHOW).env(REGATTA_FRAMEWORK="Custom").start()
    assert crew.wait() == [0, 0]
    mine = environments(crew)[1]
    assert {name: mine[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")} == {
        "RANK": "1",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
    }
    assert mine["MASTER_ADDR"]
    assert (mine["REGATTA_WORKER"], mine["GROUP_RANK"], mine["GROUP_WORLD_SIZE"]) == ("1", "1", "2")
    assert not [name for name in mine if "TORCH" in name]


def test_custom_processes_find_a_file_with_all_workers_that_is_gone_with_the_launcher(crew: Crew) -> None:
    listed = """
        path = os.environ["REGATTA_HOSTFILE"]
        say("PATH", path)
        say("LISTED", open(path).read().splitlines())
    """
    crew.of(2, 2).script(listed).env(REGATTA_FRAMEWORK="Custom").start()
    assert crew.wait() == [0, 0]
    said = [line.partition("LISTED ")[2] for line in crew.output.splitlines() if "LISTED" in line]
    assert said == ["['127.0.0.1 slots=2', '127.0.0.1 slots=2']"] * 4
    paths = {line.partition("PATH ")[2] for line in crew.output.splitlines() if "PATH " in line}
    assert len(paths) == 2  # one of each launcher
    assert not any(os.path.exists(os.path.dirname(path)) for path in paths)


def test_a_single_worker_is_on_its_own_list(crew: Crew) -> None:
    crew.of(1).script('say("LISTED", open(os.environ["REGATTA_HOSTFILE"]).read())')
    crew.env(REGATTA_FRAMEWORK="Custom").start()
    assert crew.wait() == [0]
    assert "LISTED 127.0.0.1 slots=1" in crew.output


def clusters(crew: Crew) -> dict[int, dict[str, Any]]:
    return {rank: json.loads(env["TF_CONFIG"]) for rank, env in environments(crew).items() if "TF_CONFIG" in env}


def test_tensorflow_workers_find_all_others_and_their_own_place(crew: Crew) -> None:
    crew.of(3).script(SHOW).env(REGATTA_FRAMEWORK="TensorFlow").start()
    assert crew.wait() == [0, 0, 0]
    found = clusters(crew)
    assert {rank: config["task"] for rank, config in found.items()} == {
        worker: {"type": "worker", "index": worker} for worker in range(3)
    }
    [addresses] = {tuple(config["cluster"]["worker"]) for config in found.values()}
    assert [config["cluster"].keys() for config in found.values()] == [{"worker"}] * 3
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_tensorflow_workers_meet_at_free_ports_and_at_others_in_each_generation(crew: Crew) -> None:
    listen = """
        import json, socket
        config = json.loads(os.environ["TF_CONFIG"])
        host, port = config["cluster"]["worker"][rank].split(":")
        server = socket.socket()
        server.bind((host, int(port)))
        say(f"MINE {port}")
        if generation == 1 and rank == 0: sys.exit(3)
        if generation == 1: wait()
    """
    crew.of(2).script(listen).env(REGATTA_FRAMEWORK="TensorFlow").start()
    assert crew.wait() == [0, 0]
    ports = [line.split("MINE ")[1] for line in crew.output.splitlines() if "MINE " in line]
    assert len(ports) >= 3  # the second worker of the first generation may be ended before it says a word
    assert len(set(ports)) == len(ports)
    assert str(crew.port) not in ports


# What horovodrun gives its processes, for worker 1 of 2 with 2 processes each, as (local rank -> value).
HOROVODRUN = {
    "HOROVOD_RANK": ["2", "3"],
    "HOROVOD_SIZE": ["4", "4"],
    "HOROVOD_LOCAL_RANK": ["0", "1"],
    "HOROVOD_LOCAL_SIZE": ["2", "2"],
    "HOROVOD_CROSS_RANK": ["1", "1"],
    "HOROVOD_CROSS_SIZE": ["2", "2"],
    "HOROVOD_CONTROLLER": ["gloo", "gloo"],
    "HOROVOD_CPU_OPERATIONS": ["gloo", "gloo"],
    "HOROVOD_GLOO_RENDEZVOUS_ADDR": ["127.0.0.1", "127.0.0.1"],
    "RANK": ["2", "3"],
    "LOCAL_RANK": ["0", "1"],
    "WORLD_SIZE": ["4", "4"],
    "LOCAL_WORLD_SIZE": ["2", "2"],
}


def test_horovod_processes_find_what_horovodrun_gives_and_the_users_own_settings(crew: Crew) -> None:
    crew.of(2, 2).script(SHOW).env(REGATTA_FRAMEWORK="Horovod", HOROVOD_FUSION_THRESHOLD="1").start()
    assert crew.wait() == [0, 0]
    found = environments(crew)
    for local_rank in (0, 1):
        mine = found[2 + local_rank]
        assert {name: mine.get(name) for name in HOROVODRUN} == {n: v[local_rank] for n, v in HOROVODRUN.items()}
    assert {env["HOROVOD_FUSION_THRESHOLD"] for env in found.values()} == {"1"}
    assert "HOROVOD_GLOO_IFACE" not in found[0]
    names = [found[rank]["HOROVOD_HOSTNAME"] for rank in range(4)]
    assert names[0] == names[1] != names[2] == names[3]  # local groups are named after it


def test_one_tensorflow_worker_is_no_cluster(crew: Crew) -> None:
    crew.of(1).script(SHOW).env(REGATTA_FRAMEWORK="TensorFlow").start()
    assert crew.wait() == [0]
    mine = environments(crew)[0]
    assert "TF_CONFIG" not in mine
    assert "TF_XLA_FLAGS" not in mine


def test_compile_turns_xla_on_and_the_users_flags_have_the_last_word(crew: Crew) -> None:
    crew.of(1).script(SHOW).env(REGATTA_FRAMEWORK="TensorFlow", REGATTA_COMPILE="1", TF_XLA_FLAGS="--mine").start()
    assert crew.wait() == [0]
    assert environments(crew)[0]["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit --mine"


def test_keras_on_torch_finds_what_torchrun_gives_and_its_backend(crew: Crew) -> None:
    crew.of(2, 2).script(SHOW).env(
        REGATTA_FRAMEWORK="Keras", REGATTA_KERAS_BACKEND="torch", KERAS_BACKEND="jax"
    ).start()
    assert crew.wait() == [0, 0]
    mine = environments(crew)[3]
    assert mine["KERAS_BACKEND"] == "torch"
    assert {name: mine.get(name) for name in TORCHRUN} == {name: values[1] for name, values in TORCHRUN.items()}
    assert "TF_CONFIG" not in mine


def test_keras_on_tensorflow_finds_all_workers_and_its_backend(crew: Crew) -> None:
    crew.of(2).script(SHOW).env(REGATTA_FRAMEWORK="Keras", REGATTA_KERAS_BACKEND="tensorflow").start()
    assert crew.wait() == [0, 0]
    assert {rank: config["task"]["index"] for rank, config in clusters(crew).items()} == {0: 0, 1: 1}
    assert {env["KERAS_BACKEND"] for env in environments(crew).values()} == {"tensorflow"}


@pytest.mark.parametrize(
    ("variables", "command", "words"),
    [
        pytest.param({}, ["python3", "x.py"], "REGATTA_KERAS_BACKEND is not set", id="no backend"),
        pytest.param({"REGATTA_KERAS_BACKEND": "jax"}, ["python3", "x.py"], "torch or tensorflow", id="an unknown one"),
        pytest.param(
            {"REGATTA_KERAS_BACKEND": "torch"}, ["torchrun", "x.py"], "write the program itself", id="a launcher"
        ),
    ],
)
def test_a_keras_job_that_cannot_be_one_fails_at_once(
    crew: Crew, variables: dict[str, str], command: list[str], words: str
) -> None:
    crew.of(1).command(*command).env(REGATTA_FRAMEWORK="Keras", **variables).start()
    assert crew.wait() == [64]
    assert words in crew.launchers[0].termination()["message"]


def test_the_users_own_settings_are_kept_and_the_crews_token_is_not_passed_on(crew: Crew) -> None:
    crew.of(1, 2).script(SHOW)
    crew.env(OMP_NUM_THREADS="7", PYTHONUNBUFFERED="x", PYTHONPATH=f"{RUNTIME}:/mine")
    crew.env(TORCH_NCCL_ASYNC_ERROR_HANDLING="3")
    crew.start()
    assert crew.wait() == [0]
    mine = environments(crew)[0]
    assert (mine["OMP_NUM_THREADS"], mine["PYTHONUNBUFFERED"]) == ("7", "x")
    assert mine["TORCH_NCCL_ASYNC_ERROR_HANDLING"] == "3"
    hooks = RUNTIME / "regatta_runtime" / "hooks" / "site"
    assert mine["PYTHONPATH"].split(os.pathsep) == [str(hooks), str(RUNTIME), str(RUNTIME), "/mine"]
    assert "REGATTA_TOKEN" not in mine
    assert crew.token not in json.dumps(mine)


def test_one_process_in_a_pod_may_use_all_its_threads(crew: Crew) -> None:
    crew.of(1).script(SHOW).start()
    assert crew.wait() == [0]
    assert "OMP_NUM_THREADS" not in environments(crew)[0]
