"""Training processes find exactly the environment that their framework's own launcher would give them."""

from __future__ import annotations

import json
import os

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
    assert mine["REGATTA_WORKER"] == "1"
    assert not [name for name in mine if "TORCH" in name]


def test_the_users_own_settings_are_kept_and_the_crews_token_is_not_passed_on(crew: Crew) -> None:
    crew.of(1, 2).script(SHOW)
    crew.env(OMP_NUM_THREADS="7", PYTHONUNBUFFERED="x", PYTHONPATH=f"{RUNTIME}:/mine")
    crew.env(TORCH_NCCL_ASYNC_ERROR_HANDLING="3")
    crew.start()
    assert crew.wait() == [0]
    mine = environments(crew)[0]
    assert (mine["OMP_NUM_THREADS"], mine["PYTHONUNBUFFERED"]) == ("7", "x")
    assert mine["TORCH_NCCL_ASYNC_ERROR_HANDLING"] == "3"
    assert mine["PYTHONPATH"].split(os.pathsep) == [str(RUNTIME), str(RUNTIME), "/mine"]
    assert "REGATTA_TOKEN" not in mine
    assert crew.token not in json.dumps(mine)


def test_one_process_in_a_pod_may_use_all_its_threads(crew: Crew) -> None:
    crew.of(1).script(SHOW).start()
    assert crew.wait() == [0]
    assert "OMP_NUM_THREADS" not in environments(crew)[0]
