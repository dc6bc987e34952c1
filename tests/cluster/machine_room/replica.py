"""An operator as a process of its own on this machine, as the work tree has it, that serves one namespace."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from regatta.kube.lease import Timing

__all__ = ["QUICK", "Replica", "replica"]

QUICK = Timing(duration=6, deadline=4.0, retry=0.3)


@dataclass(frozen=True, slots=True)
class Replica:
    """A running operator; its log is in a file, so that it never waits for somebody to read it."""

    process: asyncio.subprocess.Process
    port: int
    log_file: Path

    async def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Code and JSON that the operator answers at a path; code 0 when it does not answer."""
        code, body = await asyncio.to_thread(self._fetch, path)
        return code, json.loads(body) if body else {}

    async def leads(self) -> bool:
        """Whether it says that it leads."""
        return (await self.ask("/readyz"))[1].get("leading") is True

    async def until_ready(self, *, seconds: float = 60.0) -> None:
        """Return when its caches are filled."""
        await self.until_it_says("/readyz", 200, seconds=seconds)

    async def until(self, *, leading: bool, seconds: float = 60.0) -> None:
        """Return when it is ready, and leads or does not."""
        await self.until_ready(seconds=seconds)
        async with asyncio.timeout(seconds):
            while await self.leads() is not leading:
                assert self.process.returncode is None, self.log()
                await asyncio.sleep(0.1)

    async def until_it_says(self, path: str, code: int, *, seconds: float) -> float:
        """Wait until a path is answered with the code; return how many seconds that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (await self.ask(path))[0] != code:
            assert self.process.returncode is None, self.log()
            assert loop.time() - began < seconds, f"{path} did not become {code} within {seconds} s"
            await asyncio.sleep(0.1)
        return loop.time() - began

    async def ended(self, *, seconds: float) -> int:
        """The exit code of a process that ends by itself."""
        try:
            return await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            raise AssertionError(f"the operator still runs:\n{self.log()}") from None

    async def metric(self, sample: str, **labels: str) -> float:
        """Sum of all of the sample's values that carry these labels."""
        _, body = await asyncio.to_thread(self._fetch, "/metrics")
        return sum(
            found.value
            for family in text_string_to_metric_families(body.decode())
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        )

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self) -> str:
        """The end of what it logged."""
        return self.log_file.read_text(encoding="utf-8")[-8000:]

    def _fetch(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()
        except OSError:
            return 0, b""


@asynccontextmanager
async def replica(
    *,
    kubeconfig: Path,
    context: str | None = None,
    namespace: str,
    name: str = "operator",
    lease: Timing = QUICK,
    silence: float = 75.0,
) -> AsyncIterator[Replica]:
    """Run an operator while the context is open; then kill it, where it still runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="regatta-replica-") as folder:
        log_file = Path(folder) / "log"
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "regatta.control.main",
                "--namespaces", namespace,
                "--lease-namespace", namespace,
                "--lease-seconds", str(lease.duration),
                "--renew-seconds", str(lease.deadline),
                "--retry-seconds", str(lease.retry),
                "--silence-seconds", str(silence),
                "--identity", name,
                "--host", "127.0.0.1", "--port", str(port),
                "--kubeconfig", str(kubeconfig), *(["--context", context] if context else []),
                stderr=log,
            )  # fmt: skip
        try:
            yield Replica(process, port, log_file)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
