"""Foreign text on a terminal, spans of time, columns."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.cli.text import age, bar, clean, columns, one_line, span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("loss 0.25\tok", "loss 0.25\tok"),
        ("Größe 日本 🚀", "Größe 日本 🚀"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07", ""),
        ("\x1bPdevice\x1b\\x", "x"),
        ("\x1bcreset", "reset"),
        ("\x9b31mred", "\\x9b31mred"),
        ("bell\x07 back\x08", "bell\\x07 back\\x08"),
        ("nul\x00", "nul\\x00"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\\x0db"),
        ("\x1b", "\\x1b"),
        ("\x1b[31", "31"),
        ("[bold]kept[/bold]", "[bold]kept[/bold]"),
    ],
    ids=ascii,
)
def test_control_sequences_are_removed_or_shown_never_obeyed(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_nothing_that_moves_a_terminal_gets_through(text: str) -> None:
    cleaned = clean(text)

    assert not {unicodedata.category(character) for character in cleaned if character not in "\n\t"} & {
        "Cc",
        "Cf",
        "Cs",
    }
    assert not set(cleaned) & set("\x00\x07\x08\x0b\x0c\x0d\x1b\x7f\x84\x85\x9b\u202e\u2066\u2028")
    assert clean(cleaned) == cleaned


def test_one_line_is_one_line_and_fits() -> None:
    assert one_line("two\nlines \t here") == "two lines here"
    assert one_line("abcdefgh", width=5) == "abcd…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (185, "3m5s"),
        (7_200, "2h"),
        (7_260, "2h1m"),
        (442_800, "5d3h"),
        (86_401, "1d"),
    ],
)
def test_a_span_has_at_most_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_an_age_that_is_not_known_is_said_so() -> None:
    now = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

    assert age("2026-01-02T11:00:00Z", now=now) == "1h"
    assert age(None, now=now) == age("never", now=now) == "<unknown>"


@pytest.mark.parametrize("fraction", [-1.0, 0.0, 0.37, 1.0, 9.0])
def test_a_bar_has_its_width_whatever_the_fraction(fraction: float) -> None:
    assert len(bar(fraction, width=20)) == len(bar(fraction, width=20, ascii_only=True)) == 20
    assert bar(fraction, width=20, ascii_only=True).isascii()


def test_columns_align_and_lines_do_not_trail() -> None:
    assert columns([("NAME", "AGE"), ("a", "1s"), ("longer", "")]) == ["NAME     AGE", "a        1s", "longer"]
