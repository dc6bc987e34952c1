"""Every pitfall that the documentation names has a test on a real cluster."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_pitfall_of_the_documentation_has_its_test() -> None:
    documented = {int(n) for n in re.findall(r"^\| (\d+) \|", (ROOT / "docs/pitfalls.md").read_text(), re.MULTILINE)}
    marked = {
        int(number)
        for folder in ("cluster", "scale")
        for path in (ROOT / "tests" / folder).rglob("test_*.py")
        for numbers in re.findall(r"mark\.pitfall\(([\d, ]+)\)", path.read_text(encoding="utf-8"))
        for number in numbers.split(",")
    }

    assert documented == set(range(1, 31))
    assert marked == documented
