"""The file with all workers: complete at every moment, and somewhere in every pod that has a place to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from regatta_runtime.hostfile import Hostfile, address_of


def test_it_stays_where_it_was_when_it_changes(tmp_path: Path) -> None:
    hostfile = Hostfile([str(tmp_path)])
    first = hostfile.write(["10.0.0.1", "fd00::9"], slots=8)
    assert Path(first).read_text() == "10.0.0.1 slots=8\nfd00::9 slots=8\n"
    assert hostfile.write(["10.0.0.1"], slots=8) == first
    assert Path(first).read_text() == "10.0.0.1 slots=8\n"
    assert [path.name for path in Path(first).parent.iterdir()] == ["hostfile"]


def test_the_first_folder_that_can_be_written_to_is_taken(tmp_path: Path) -> None:
    path = Hostfile(["/proc/nowhere", str(tmp_path)]).write(["a"], slots=1)
    assert Path(path).parent.parent == tmp_path


def test_everybody_may_read_it(tmp_path: Path) -> None:
    path = Path(Hostfile([str(tmp_path)]).write(["a"], slots=1))
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert path.stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize(
    ("peer", "address"), [("10.0.0.1:7000", "10.0.0.1"), ("[fd00::9]:7002", "fd00::9"), ("host:1", "host")]
)
def test_an_address_is_a_peer_without_its_port(peer: str, address: str) -> None:
    assert address_of(peer) == address
