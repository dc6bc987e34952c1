"""A log line is one line, with its fields, whatever it is about."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from regatta.control import logs
from regatta.control.logs import about


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("restored")
def test_a_json_line_has_message_fields_and_traceback() -> None:
    stream = io.StringIO()
    logs.configure(style="json", level="info", stream=stream)
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("regatta.test").exception(
            "went\nwrong", extra=about(job="a", attempt=2, created=3, name="x", when=ValueError)
        )
    (line,) = stream.getvalue().splitlines()
    said = orjson.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("error", "regatta.test", "went\nwrong")
    assert (said["job"], said["attempt"], said["created"], said["name"]) == ("a", 2, 3, "x")
    assert "ValueError" in said["exception"]
    assert said["time"].endswith("Z")


@pytest.mark.usefixtures("restored")
def test_a_text_line_is_for_people() -> None:
    stream = io.StringIO()
    logs.configure(style="text", level="info", stream=stream)
    logging.getLogger("regatta.test").info("leading", extra=about(identity="op-0"))
    logging.getLogger("regatta.test").debug("hidden")
    assert stream.getvalue().endswith("INFO    leading  identity=op-0\n")


@pytest.mark.usefixtures("restored")
def test_libraries_are_quiet_and_what_they_attach_stays_out() -> None:
    stream = io.StringIO()
    logs.configure(style="json", level="info", stream=stream)
    logging.getLogger("kopf.objects").info("handler succeeded")
    logging.getLogger("kopf").warning("odd", extra={"k8s_ref": {"secret": 1}})
    (line,) = stream.getvalue().splitlines()
    assert "secret" not in line
