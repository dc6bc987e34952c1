"""The list of all workers as a file, for programs that bring a launcher or a network of their own.

One line a worker, in their order: `ADDRESS slots=PROCESSES`, as Open MPI and DeepSpeed read it; the address comes first
on the line, so `cut -d' ' -f1` serves everybody else.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import Iterable, Optional

VARIABLE = "REGATTA_HOSTFILE"
# Memory that is writable in every worker pod, whatever its image and the security settings of its root.
FOLDERS = ("/dev/shm", "/tmp")
NAME = "hostfile"


class Hostfile:
    """Written anew for each generation; gone with the launcher."""

    def __init__(self, folders: Iterable[str] = FOLDERS) -> None:
        self._folders = folders
        self._folder: Optional[str] = None

    def write(self, addresses: Iterable[str], *, slots: int) -> str:
        """The path of a file that names these workers; OSError where no folder can be written to."""
        folder = self._folder = self._folder or self._make()
        path = os.path.join(folder, NAME)
        with open(path + ".part", "w") as file:
            file.writelines(f"{address} slots={slots}\n" for address in addresses)
        os.replace(path + ".part", path)
        return path

    def _make(self) -> str:
        folder = tempfile.mkdtemp(prefix="regatta-", dir=next(filter(_is_writable, self._folders), None))
        os.chmod(folder, 0o755)  # a program may change its user
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder


def address_of(peer: str) -> str:
    """The address in ADDRESS:PORT or [ADDRESS]:PORT."""
    address = peer.rpartition(":")[0]
    return address[1:-1] if address.startswith("[") else address


def _is_writable(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
