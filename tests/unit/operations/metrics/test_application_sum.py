"""What is made of the values of all workers: sums, gauges by their mode, and how much of it is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from metered_workers import MeteredWorkers, metered_workers, samples_of, write_key
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nodecluster_compat.operations.metrics import application_sum
from nodecluster_compat.operations.metrics.application_sum import ApplicationSum
from nodecluster_compat.operations.metrics.application_values import ApplicationValues
from nodecluster_compat.operations.metrics.exposition import openmetrics, text
from nodecluster_compat.operations.metrics.shared_values import values_here

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def workers() -> Iterator[MeteredWorkers]:
    with metered_workers() as made:
        yield made


def test_counters_are_summed_and_never_go_back(workers: MeteredWorkers) -> None:
    """Over workers, dead ones included; metrics that were made before the fork count from zero in each."""
    jobs = Counter("jobs", "Jobs.", ["kind"], registry=workers.registry)
    jobs.labels("a").inc(100)  # in the primary
    for slot in (1, 2):
        workers.fork(slot)
        jobs.labels("a").inc(slot)
        jobs.labels("b").inc(0.5)
    assert workers.told() == {"jobs_total{kind=a}": 3, "jobs_total{kind=b}": 1}
    workers.end(1)
    assert workers.told() == {"jobs_total{kind=a}": 3, "jobs_total{kind=b}": 1}
    workers.fork(1)
    jobs.labels("a").inc()
    assert workers.told()["jobs_total{kind=a}"] == 4


def test_histograms_and_summaries(workers: MeteredWorkers) -> None:
    """Buckets are summed and cumulated, and their exemplars are kept: the newest of all workers."""
    sizes = Histogram("sizes", "Sizes.", ["of"], buckets=[1, 10], registry=workers.registry)
    took = Summary("took", "Seconds.", registry=workers.registry)
    for slot in (1, 2):
        workers.fork(slot)
        sizes.labels("x").observe(slot, exemplar={"trace_id": f"t{slot}"})
        sizes.labels("x").observe(0.5)
        took.observe(slot)
    workers.end(1)
    told = workers.told()
    assert told["sizes_bucket{le=1.0,of=x}"] == 3
    assert told["sizes_bucket{le=10.0,of=x}"] == 4
    assert told["sizes_bucket{le=+Inf,of=x}"] == told["sizes_count{of=x}"] == 4
    assert told["sizes_sum{of=x}"] == 4
    assert (told["took_count"], told["took_sum"]) == (2, 3)
    families = parse_openmetrics(openmetrics(workers.together().families()).decode())
    (family,) = (one for one in families if one.name == "sizes")
    found = {one.labels["le"]: one.exemplar for one in family.samples if one.exemplar is not None}
    assert found["1.0"].labels == {"trace_id": "t1"}
    assert found["10.0"].labels == {"trace_id": "t2"}
    assert found["10.0"].value == 2


GAUGES = {
    "sum": ({"g": 9}, {"g": 9}),
    "livesum": ({"g": 9}, {"g": 7}),
    "min": ({"g": 2}, {"g": 2}),
    "livemin": ({"g": 2}, {"g": 7}),
    "max": ({"g": 7}, {"g": 7}),
    "livemax": ({"g": 7}, {"g": 7}),
    "mostrecent": ({"g": 7}, {"g": 7}),
    "livemostrecent": ({"g": 7}, {"g": 7}),
    "all": ({"g{slot=1}": 2, "g{slot=2}": 7}, {"g{slot=1}": 2, "g{slot=2}": 7}),
    "liveall": ({"g{slot=1}": 2, "g{slot=2}": 7}, {"g{slot=2}": 7}),
}


@pytest.mark.parametrize("mode", GAUGES)
def test_gauges_by_their_mode(workers: MeteredWorkers, mode: Any) -> None:
    """As prometheus_client documents the modes; a worker's label is its slot."""
    assert GAUGES.keys() == Gauge._MULTIPROC_MODES
    gauge = Gauge("g", "Gauge.", multiprocess_mode=mode, registry=workers.registry)
    for slot, value in ((1, 2), (2, 7)):
        workers.fork(slot)
        gauge.set(value)
    living, ended = GAUGES[mode]
    assert workers.told() == living
    workers.end(1)
    assert workers.told() == ended


def test_gauge_of_every_worker_has_a_series_for_each_slot_only(workers: MeteredWorkers) -> None:
    """However many workers a slot has had; the label has another name where the metric has one of that name."""
    gauge = Gauge("g", "Gauge.", registry=workers.registry)
    named = Gauge("n", "Gauge.", ["slot"], registry=workers.registry)
    for number in range(20):
        workers.fork(1)
        gauge.inc(number)
        named.labels("mine").dec()
        workers.end(1)
    assert workers.told() == {"g{slot=1}": 19, "n{slot=mine,worker_slot=1}": -1}


def test_what_the_primary_counts_is_counted(workers: MeteredWorkers) -> None:
    """In ``gunicorn.conf.py``; what it has not touched is not there."""
    Counter("loads", "Loads.", registry=workers.registry).inc()
    Counter("never", "Never.", registry=workers.registry)
    own = values_here()
    assert own is not None
    together = ApplicationSum()
    together.add(0, ApplicationValues(own), only_used=True)
    assert samples_of(parse_text(text(together.families()).decode())) == {"loads_total": 1}


def test_family_of_another_is_left_out(workers: MeteredWorkers) -> None:
    """One name cannot be told twice."""
    workers.fork(1)
    Counter("jobs", "Jobs.", registry=workers.registry).inc()
    assert workers.together().families(taken=["jobs"]) == []


def test_what_has_ended_is_bounded_and_the_last_is_kept(
    workers: MeteredWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with other labels in each of its lives keeps nobody out; what others renew stays."""
    monkeypatch.setattr(application_sum, "_MOST_BYTES", 100_000)
    for life in range(20):
        workers.fork_anew(1)
        for number in range(50):
            write_key(["counter", "junk", "junk_total", ["of"], [f"{life} {number} {'x' * 200}"], "Junk.", ""])
        workers.end(1)
        workers.fork_anew(2)
        write_key(["counter", "jobs", "jobs_total", [], [], "Jobs.", ""])
        workers.end(2)
    kept = workers.ended
    assert kept._bytes == sum(key.size for key in kept._counted) <= 100_000
    told = workers.told()
    assert told["jobs_total"] == 20
    assert f"junk_total{{of=19 49 {'x' * 200}}}" in told
    assert f"junk_total{{of=0 0 {'x' * 200}}}" not in told
    assert kept.dropped == 20 * 50 + 1 - len(kept._counted)


def test_help_text_that_a_deploy_has_changed_makes_no_second_line(workers: MeteredWorkers) -> None:
    """Nor does the mode of a gauge: a scraper refuses a line that is there twice.  The new ones are told."""
    for life in (1, 2):
        workers.fork_anew(1)
        write_key(["counter", "jobs", "jobs_total", [], [], f"Jobs, {life}.", ""])
        write_key(["gauge", "g", "g", [], [], f"Gauge, {life}.", ("sum", "max")[life - 1]], 5.0 * life)
        if life == 1:
            workers.end(1)
    assert workers.told() == {"jobs_total": 2, "g": 10}
    assert {one.name: one.about for one in workers.together().families()} == {"jobs": "Jobs, 2.", "g": "Gauge, 2."}


def test_texts_of_what_is_not_kept_are_not_kept(workers: MeteredWorkers) -> None:
    for number in range(3):
        workers.fork_anew(1)
        registry = CollectorRegistry()
        Gauge(f"mine_{number}", "Live.", registry=registry, multiprocess_mode="livesum").set(1)
        Counter(f"never_{number}", "No number.", registry=registry).inc(math.nan)
        Counter("jobs", f"Jobs {number}.", registry=registry).inc()
        workers.end(1)
    assert workers.ended._abouts == {"jobs": "Jobs 2."}


def test_of_two_families_that_tell_one_name_the_first_stays(workers: MeteredWorkers) -> None:
    """Each worker can have its own; one page with both is refused as a whole."""
    workers.fork_anew(1)
    Counter("jobs", "Jobs.", registry=CollectorRegistry()).inc(2)
    workers.fork_anew(2)
    Gauge("jobs_total", "Jobs.", registry=CollectorRegistry(), multiprocess_mode="sum").set(5)
    assert workers.told() == {"jobs_total": 2}
    assert workers.together().doubles(()) == {"jobs_total"}


def test_living_workers_have_room_whatever_has_ended(workers: MeteredWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_sum, "_MOST_SERIES", 2)
    workers.fork_anew(1)
    for number in range(3):
        write_key(["counter", "junk", "junk_total", ["of"], [str(number)], "Junk.", ""])
    workers.end(1)
    workers.fork_anew(2)
    write_key(["counter", "jobs", "jobs_total", [], [], "Jobs.", ""])
    assert workers.told() == {"junk_total{of=1}": 1, "junk_total{of=2}": 1, "jobs_total": 1}
