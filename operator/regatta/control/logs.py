"""Logs for machines (one JSON object a line) or for people, with the same fields."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

__all__ = ["JsonFormatter", "TextFormatter", "configure"]

# What logging itself puts on every record; everything else came from `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# kopf attaches whole objects to its records, and a user's object may hold anything.
_FOREIGN: Final = frozenset({"k8s_ref", "k8s_skip", "settings"})


def configure(*, style: str, level: str, stream: TextIO | None = None) -> None:
    """Send all logs to standard error as lines of the style `json` or `text`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries at work tell of every connection and event at these levels.
    for name in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | fields(record)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """Time, level, message and the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, with a traceback below where there is one."""
        said = " ".join(f"{key}={value}" for key, value in fields(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{'  ' + said if said else ''}"
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + self.formatException(record.exc_info)
        return line


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the record says beside its message."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and key not in _FOREIGN}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
