"""CPU and memory of a container, from files as the kernel writes them in either version of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from regatta_runtime.measure import cgroup

SECOND = {
    "cgroup.controllers": "cpu memory pids\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\nthrottled_usec 125000\n",
    "memory.current": "1000000\n",
    "memory.stat": "anon 5\ninactive_file 400000\n",
    "memory.max": "2000000\n",
}
FIRST = {
    "cpuacct/cpuacct.usage": "2500000000\n",
    "cpu/cpu.stat": "nr_periods 4\nthrottled_time 125000000\n",
    "memory/memory.usage_in_bytes": "1000000\n",
    "memory/memory.stat": "cache 7\ntotal_inactive_file 400000\n",
    "memory/memory.limit_in_bytes": "2000000\n",
}
USED = {
    "regatta_runtime_cpu_seconds_total": "2.5",
    "regatta_runtime_cpu_throttled_seconds_total": "0.125",
    "regatta_runtime_memory_working_set_bytes": "600000",
    "regatta_runtime_memory_limit_bytes": "2000000",
}


def told(root: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return dict(line.split(" ") for line in cgroup.lines(str(root)) if not line.startswith("#"))


@pytest.mark.parametrize("files", [pytest.param(SECOND, id="version 2"), pytest.param(FIRST, id="version 1")])
def test_both_versions_tell_the_same(files: dict[str, str], tmp_path: Path) -> None:
    assert told(tmp_path, files) == USED
    assert cgroup.memory_used_fraction(str(tmp_path)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({**SECOND, "memory.max": "max\n"}, id="version 2"),
        pytest.param({**FIRST, "memory/memory.limit_in_bytes": "9223372036854771712\n"}, id="version 1"),
    ],
)
def test_no_limit_is_no_number(files: dict[str, str], tmp_path: Path) -> None:
    assert told(tmp_path, files) == {name: value for name, value in USED.items() if "limit" not in name}
    assert cgroup.memory_used_fraction(str(tmp_path)) is None


def test_where_there_is_nothing_nothing_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, {}) == {}
    assert told(tmp_path, {"cgroup.controllers": "", "cpu.stat": "usage_usec lots\n", "memory.current": "\xe9"}) == {}
