"""Asking a Prometheus over HTTP: bounded in time and size, with errors that say what to do."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from regatta.cli.text import one_line
from regatta.errors import RegattaError, UsageError

__all__ = ["Prometheus", "PrometheusError", "quoted"]

SECONDS: Final = 30.0
MAX_BODY: Final = 32 * 1024 * 1024

Series = tuple[dict[str, str], tuple[tuple[float, float], ...]]
"""Labels, and points of Unix seconds and values."""


class PrometheusError(RegattaError):
    """Prometheus does not answer, or not with what was asked for."""


class Prometheus:
    """One server; it is only asked, never told anything."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"--prometheus {one_line(url, width=200)}: write its address, such as http://localhost:9090"
            )
        self._url = url.rstrip("/")

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        parts = urllib.parse.urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def at(self, query: str, *, time: float) -> list[tuple[dict[str, str], float]]:
        """The values at a moment."""
        found = self._ask("query", {"query": query, "time": f"{time:.3f}"})
        return [(labels, points[0][1]) for labels, points in found if points]

    def over(self, query: str, *, start: float, end: float, step: float) -> list[Series]:
        """The values over a range."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return self._ask("query_range", {"query": query, **times})

    def _ask(self, path: str, parameters: dict[str, str]) -> list[Series]:
        body = urllib.parse.urlencode(parameters).encode()
        request = urllib.request.Request(f"{self._url}/api/v1/{path}", data=body)  # noqa: S310 (the scheme was checked)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                text = answer.read(MAX_BODY + 1)
        except urllib.error.HTTPError as error:
            with error:
                said = _words(error.read(64 * 1024))
            raise PrometheusError(f"Prometheus at {self.address} refused: {said or error.reason}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise PrometheusError(
                f"Prometheus at {self.address} does not answer: {one_line(reason)}; a forward to it may help: "
                "kubectl port-forward -n NAMESPACE svc/PROMETHEUS 9090"
            ) from error
        if len(text) > MAX_BODY:
            raise PrometheusError(f"Prometheus at {self.address} answered with more than {MAX_BODY >> 20} MiB")
        try:
            return [_series(each) for each in json.loads(text)["data"]["result"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PrometheusError(f"{self.address} is no Prometheus: its answer has another form") from error


def quoted(value: str) -> str:
    """A label's value as a PromQL string."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _series(raw: dict[str, Any]) -> Series:
    points = raw["values"] if "values" in raw else [raw["value"]]
    told = ((float(at), float(value)) for at, value in points)
    labels = {str(name): str(value) for name, value in raw["metric"].items()}
    return labels, tuple((at, value) for at, value in told if math.isfinite(value))


def _words(body: bytes) -> str:
    try:
        return one_line(json.loads(body)["error"], width=500)
    except (ValueError, KeyError, TypeError):
        return ""
