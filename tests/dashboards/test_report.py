"""`regatta report` on a real Prometheus, and its page in a real browser."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from regatta.cli.errors import NotFoundError
from regatta.cli.report.made import made_story
from regatta.cli.report.page import page
from regatta.cli.report.prometheus import Prometheus, PrometheusError
from regatta.cli.report.story import Story
from tests.dashboards.browser import Browser
from tests.dashboards.story import END, RESNET, START
from tests.dashboards.test_queries import truth

NOW: Final = datetime.fromtimestamp(END, UTC)
JOB: Final = {
    "metadata": {"name": RESNET.name, "namespace": RESNET.namespace, "creationTimestamp": "2026-01-05T09:00:00Z"},
    "spec": {"framework": "PyTorch", "workers": 2, "gpusPerWorker": 4},
    "status": {"phase": "Running", "attempt": 2, "ledger": {"step": 8000, "data_wait": 900}},
}


class OfTheStory:
    """The cluster of the story, with the job or after it was deleted."""

    namespace = RESNET.namespace

    def __init__(self, job: dict[str, Any] | None) -> None:
        self._job = job

    def time(self) -> datetime:
        return NOW

    def job(self, name: str) -> dict[str, Any]:
        if self._job is None:
            raise NotFoundError(f"there is no TrainingJob {name}")
        return self._job


def told(prometheus: str, job: dict[str, Any] | None, *, name: str = RESNET.name) -> Story:
    return made_story(
        name,
        open_cluster=lambda: OfTheStory(job),  # type: ignore[arg-type, return-value]
        namespace=None,
        prometheus=Prometheus(prometheus),
        since=timedelta(hours=24),
    )


def test_a_job_that_is_gone_is_told_from_prometheus_alone(prometheus: str) -> None:
    story = told(prometheus, None)

    assert (story.framework, story.phase, story.attempt) == ("PyTorch", "Running", 2)
    assert story.shape == "2 workers, 8 nvidia.com/gpu in all"
    assert story.failure_counts == {"oom_killed": 1}
    assert dict(story.ledger) == pytest.approx(truth(), abs=60)
    assert "no longer exists" in story.notes[0]


def test_the_course_covers_the_jobs_life_and_marks_the_restart(prometheus: str) -> None:
    story = told(prometheus, JOB)
    titles = [chart.title for chart in story.charts]
    (restart,) = story.restarts_at
    second = next(at for at, part in RESNET.during(15) if part.attempt == 2)

    assert titles == [
        "Time by state",
        "Samples per second",
        "Time of a step",
        "Wait for data",
        "What the feed did meanwhile",
    ]
    assert restart == pytest.approx(second, abs=120)
    times = [at for chart in story.charts for curve in chart.curves for at, _ in curve.points]
    assert min(times) >= START
    assert max(times) <= END


def test_shares_of_time_add_up_at_every_moment(prometheus: str) -> None:
    stack = told(prometheus, JOB).charts[0]
    sums: dict[float, float] = {}
    for curve in stack.curves:
        for at, value in curve.points:
            sums[at] = sums.get(at, 0.0) + value

    assert list(sums.values()) == pytest.approx([1.0] * len(sums))


def test_a_job_that_was_never_there_is_told(prometheus: str) -> None:
    with pytest.raises(PrometheusError, match="knows no job nobody in namespace vision in the last 1d"):
        told(prometheus, None, name="nobody")


@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
def test_the_page_fits_narrow_and_wide_screens_and_follows_the_systems_colours(
    prometheus: str, chromium: Browser, tmp_path: Path, dark: bool
) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(replace(told(prometheus, JOB), message="w" * 300)))

    for width in (390, 1060, 1600):
        chromium.open(file, width=width, height=900, dark=dark)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    background = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    assert chromium.evaluate("document.querySelectorAll('svg').length") == 6
