"""Metrics are named by the rules, and their labels come from closed sets."""

from __future__ import annotations

import time

import pytest
from prometheus_client import generate_latest

from regatta.telemetry.jobseries import JobSeries
from regatta.telemetry.metrics import Metrics, Price
from tests.builders import job
from tests.unit.telemetry.exposition import problems, value


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(prices=[Price(resource="nvidia.com/gpu", currency="EUR", hourly=2.5)])
    fleet = JobSeries()
    fleet.put(job(gpusPerWorker=4).obj(), bound=1)
    made.observe(queued=lambda: 3, cached={"pods": lambda: 5}, silent={"pods": lambda: 10.0}, fleet=fleet)
    return made


def scraped(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_living_structures_are_read_at_the_scrape(metrics: Metrics) -> None:
    text = scraped(metrics)
    assert "regatta_workqueue_depth 3.0" in text
    assert 'regatta_cache_objects{resource="pods"} 5.0' in text
    assert value(text, "regatta_trainingjobs", framework="PyTorch", namespace="team", phase="Queued") == 1
    assert value(text, "regatta_accelerators_requested", namespace="team", resource="nvidia.com/gpu") == 8
    assert value(text, "regatta_accelerators_allocated", namespace="team", resource="nvidia.com/gpu") == 4
    assert value(text, "regatta_cache_sync_timestamp_seconds", resource="pods") == pytest.approx(
        time.time() - 10, abs=5
    )
    assert value(text, "regatta_resource_hourly_price", resource="nvidia.com/gpu", currency="EUR") == 2.5


def test_what_passes_by_is_counted(metrics: Metrics) -> None:
    metrics.request(verb="create", resource="pods", code=201, seconds=0.004)
    metrics.event(resource="pods", kind="ADDED")
    metrics.restart(resource="pods", reason="expired")
    metrics.reconciled(result="ok", seconds=0.1)
    metrics.failed("Unavailable")
    metrics.leads(True)
    text = scraped(metrics)
    assert 'regatta_api_request_duration_seconds_count{code="201",resource="pods",verb="create"} 1.0' in text
    assert 'regatta_watch_events_total{resource="pods",type="ADDED"} 1.0' in text
    assert 'regatta_watch_restarts_total{reason="expired",resource="pods"} 1.0' in text
    assert 'regatta_reconcile_duration_seconds_count{result="ok"} 1.0' in text
    assert 'regatta_reconcile_errors_total{reason="Unavailable"} 1.0' in text
    assert "regatta_leader 1.0" in text


def test_an_unknown_value_becomes_other_and_no_new_series(metrics: Metrics) -> None:
    metrics.event(resource="pods", kind="SURPRISE")
    metrics.reconciled(result="surprise", seconds=0)
    text = scraped(metrics)
    assert "SURPRISE" not in text
    assert "surprise" not in text
    assert 'type="other"' in text


def test_the_whole_is_well_formed(metrics: Metrics) -> None:
    metrics.request(verb="create", resource="pods", code=201, seconds=0.004)
    metrics.event(resource="pods", kind="ADDED")
    metrics.failed("Unavailable")
    assert problems(scraped(metrics)) == []
    assert "_created " not in scraped(metrics)
