"""A headless Chromium, spoken to through a pipe: opens pages, evaluates in them, takes pictures."""

import base64
import fcntl
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.cluster.tool import debian
from tests.cluster.tool.progress import Progress

__all__ = ["Browser", "browser"]

PACKAGES: Final = {
    "chromium": "chromium",
    "/usr/share/fonts/opentype/inter": "fonts-inter",
    "/usr/share/fonts/truetype/dejavu": "fonts-dejavu-core",
}
"""Grafana's interface is set in Inter."""

AT_3_AND_4: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
"""Chromium's pipe is at its descriptors 3 and 4."""


class Browser:
    """One running Chromium with one page."""

    def __init__(self, *, reads: int, writes: int) -> None:
        self._reads = os.fdopen(reads, "rb", buffering=0)
        self._writes = os.fdopen(writes, "wb", buffering=0)
        self._numbers = itertools.count(1)
        self._rest = b""
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session: str | None = None
        self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._send("Page.enable", {})

    def open(self, page: Path, *, width: int, height: int, dark: bool = False) -> None:
        """Load a page of this machine."""
        self.resize(width=width, height=height)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._send("Emulation.setEmulatedMedia", {"features": features})
        self._send("Page.navigate", {"url": page.as_uri()})
        self.evaluate(
            "new Promise(r => document.readyState === 'complete' ? r() : addEventListener('load', () => r()))"
        )

    def resize(self, *, width: int, height: int) -> None:
        """Give the page a window of this size, so that all of it is drawn."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._send("Emulation.setDeviceMetricsOverride", metrics)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, or of the promise that it gives."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self._send("Runtime.evaluate", asked)
        if "exceptionDetails" in answer:
            raise AssertionError(f"the page failed: {json.dumps(answer['exceptionDetails'])[:2000]}")
        return answer["result"].get("value")

    def picture(self, *, width: int, height: int) -> bytes:
        """The page as PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self._send("Page.captureScreenshot", {"format": "png", "clip": clip})["data"])

    def close(self) -> None:
        """Close the pipe, upon which Chromium ends."""
        self._writes.close()
        self._reads.close()

    def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if getattr(self, "_session", None) is not None:
            message["sessionId"] = self._session
        self._writes.write(json.dumps(message).encode() + b"\0")
        for told in self._messages():
            if told.get("id") == number:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
        raise AssertionError(f"Chromium ended during {method}")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" in self._rest:
                message, self._rest = self._rest.split(b"\0", 1)
                yield json.loads(message)
            chunk = self._reads.read(1 << 20)
            if not chunk:
                return
            self._rest += chunk


@contextmanager
def browser(*, progress: Progress | None = None) -> Iterator[Browser]:
    """Run Chromium, installed from Debian where it is missing."""
    debian.ensure(PACKAGES, progress=progress or Progress())
    to_chromium, writes = os.pipe()
    reads, from_chromium = os.pipe()
    to_chromium, from_chromium = _high(to_chromium), _high(from_chromium)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        options = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={home}",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            # No page of ours asks a network for anything; one that did would find none.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        running = subprocess.Popen(
            [sys.executable, "-c", AT_3_AND_4, str(to_chromium), str(from_chromium), "chromium", *options],
            pass_fds=(to_chromium, from_chromium),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_chromium)
        os.close(from_chromium)
        try:
            opened = Browser(reads=reads, writes=writes)
            yield opened
            opened.close()
        finally:
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _high(descriptor: int) -> int:
    """The same under a number that 3 and 4 are not."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
