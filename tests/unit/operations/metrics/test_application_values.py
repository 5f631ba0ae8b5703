"""Metrics of the real ``prometheus_client`` in shared memory: what each worker counts, and what is made of all."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
import pytest
from drawing import drawn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from metered_workers import MeteredWorkers, metered_workers, samples_of, write_key
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, values
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nodecluster_compat.operations.metrics import application_keys, exposition, shared_values
from nodecluster_compat.operations.metrics.application_sum import ApplicationSum
from nodecluster_compat.operations.metrics.application_values import ApplicationValues
from nodecluster_compat.operations.metrics.exposition import text
from nodecluster_compat.operations.metrics.families import Family, Sample
from nodecluster_compat.operations.metrics.layout import KEYS_AT, VALUES, VALUES_AT
from nodecluster_compat.operations.metrics.prometheus_values import share_prometheus_metrics
from nodecluster_compat.operations.metrics.shared_values import abandon_values, make_values, values_here

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def workers() -> Iterator[MeteredWorkers]:
    with metered_workers() as made:
        yield made


def test_counter_that_is_reset_keeps_what_it_had(workers: MeteredWorkers) -> None:
    """The process begins again, the sum does not; ``reset`` came with prometheus_client 0.20."""
    workers.fork(1)
    jobs = Counter("jobs", "Jobs.", registry=workers.registry)
    jobs.inc(5)
    assert workers.told() == {"jobs_total": 5}
    jobs.reset()
    jobs.inc(2)
    assert workers.told() == {"jobs_total": 7}
    workers.end(1)
    assert workers.told() == {"jobs_total": 7}


def test_registry_of_a_process_works_as_ever(workers: MeteredWorkers) -> None:
    """Also after ``remove``, behind which a counter goes on; ``Info`` is nobody else's."""
    jobs = Counter("jobs", "Jobs.", ["kind"], registry=workers.registry)
    Info("build", "Build.", registry=workers.registry).info({"version": "1"})
    jobs.labels("a").inc(3, exemplar={"trace_id": "t"})
    assert b'jobs_total{kind="a"} 3.0' in prometheus_client.generate_latest(workers.registry)
    jobs.remove("a")
    jobs.labels("a").inc()
    assert b'jobs_total{kind="a"} 4.0' in prometheus_client.generate_latest(workers.registry)


def test_metrics_that_were_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the usual registry: they are shared as well, with what they have counted, and others are left alone."""
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    monkeypatch.setattr(shared_values._ThisProcess, "values", None)
    monkeypatch.setattr(prometheus_client, "REGISTRY", CollectorRegistry())
    made: list[Any] = [
        Counter("early", "Early.", ["kind"], registry=prometheus_client.REGISTRY),
        Histogram("early_h", "Early.", buckets=[1], registry=prometheus_client.REGISTRY),
        Info("early_i", "Early.", registry=prometheus_client.REGISTRY),
    ]
    made[0].labels("a").inc(2)
    made[1].observe(0.5)
    share_prometheus_metrics()
    share_prometheus_metrics()
    made[0].labels("a").inc()
    own = values_here()
    assert own is not None
    together = ApplicationSum()
    together.add(0, ApplicationValues(own), only_used=True)
    told = samples_of(parse_text(text(together.families()).decode()))
    assert told["early_total{kind=a}"] == 3
    assert told["early_h_count"] == 1


def test_forked_process_counts_for_itself(workers: MeteredWorkers) -> None:
    """What a worker forks does not count for it, and sees what was counted before."""
    workers.fork(1)
    jobs = Counter("jobs", "Jobs.", registry=workers.registry)
    jobs.inc(2)
    abandon_values()
    jobs.inc()
    assert jobs._value.get() == 3
    assert workers.told() == {"jobs_total": 2}


def test_more_values_than_there_is_room_for(workers: MeteredWorkers) -> None:
    """Those that do not fit count in their process, and are said to be missing."""
    workers.fork(1)
    for number in range(VALUES):
        make_values().index_of(b"%d" % number)
    jobs = Counter("jobs", "Jobs.", registry=workers.registry)
    jobs.inc(2)
    assert jobs._value.get() == 2
    assert workers.together().dropped == 1


@pytest.mark.parametrize("value", ["plain", 'quo"ted', "back\\slash", "two\nlines", "\u00fc\u20ac", ""])
def test_labels_are_escaped(workers: MeteredWorkers, value: str) -> None:
    """Both parsers read them back."""
    workers.fork(1)
    Counter("jobs", 'He"l\\p\nme.', ["kind"], registry=workers.registry).labels(value).inc()
    assert workers.told() == {f"jobs_total{{kind={value}}}": 1}


def test_key_that_is_too_long_is_kept_nowhere(workers: MeteredWorkers) -> None:
    """A help text of some MiB would be in every scrape; the worker leaves it out by itself, and says so."""
    jobs = Counter("jobs", "x" * 5000, registry=workers.registry)
    workers.fork(1)
    jobs.inc()
    assert (workers.told(), workers.together().dropped) == ({}, 1)
    long = json.dumps(["counter", "jobs", "jobs_total", [], [], "x" * 5000, ""]).encode()
    assert application_keys.key_of(long) is None


def test_texts_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_MOST_BYTES", 10_000)
    for number in range(100):
        text([Family(f"m{number}", "gauge", "x" * 900, [Sample("", (("a", "x" * 900),), 1)])])
    caches = (exposition._text_head, exposition._start)
    assert 0 < sum(one.cache_info().currsize for one in caches) <= 12


# --- a worker that lies --------------------------------------------------------------------------


def rewritten(workers: MeteredWorkers, write: Callable[[int], None]) -> ApplicationSum:
    workers.fork(1)
    Counter("jobs", "Jobs.", registry=workers.registry).inc(2)
    Histogram("sizes", "Sizes.", registry=workers.registry).observe(1, {"trace_id": "t"})
    Gauge("g", "Gauge.", registry=workers.registry).set(1)
    before = workers.together()
    write(workers.memories[1].fileno())
    return before


@pytest.mark.parametrize("read", [application_keys.key_of, application_keys.exemplar_of])
def test_what_is_nested_too_deeply_is_no_key(read: Callable[[bytes], object]) -> None:
    """Whoever reads it is the primary."""
    assert read(b'["counter","a","a",[],[],"","",' + b"[" * 100_000) is None
    assert read(b'{"a":' * 100_000) is None


FORGED: dict[str, list[Any]] = {
    "line in the name": ["counter", "x", 'x_total 1\nnodecluster_workers{state="listening"} 0\n#', [], [], "a", ""],
    "name of another": ["counter", "nodecluster", "nodecluster_workers", [], [], "a", ""],
    "suffix of another kind": [
        "gauge",
        "nodecluster_worker_starts",
        "nodecluster_worker_starts_total",
        [],
        [],
        "a",
        "",
    ],
    "family of a total": [
        "gauge",
        "nodecluster_worker_starts_total",
        "nodecluster_worker_starts_total",
        [],
        [],
        "a",
        "",
    ],
    "dots": ["gauge", "nodecluster.workers", "nodecluster.workers", [], [], "a", "sum"],
    "label twice": ["counter", "x", "x_total", ["a", "a"], ["1", "2"], "a", ""],
    "label twice when it is plain": ["counter", "x", "x_total", ["a.b", "a_b"], ["1", "2"], "a", ""],
    "label without a name": ["counter", "x", "x_total", [""], ["1"], "a", ""],
    "label that is the name": ["counter", "x", "x_total", ["__name__"], ["nodecluster_workers"], "a", ""],
    "values without names": ["counter", "x", "x_total", [], ["1"], "a", ""],
    "lone surrogate": ["counter", "x", "x_total", ["a"], ["\udc80"], "a", ""],
}


@pytest.mark.parametrize("key", FORGED.values(), ids=FORGED)
def test_forged_line_is_not_told(workers: MeteredWorkers, key: list[Any]) -> None:
    """Nothing that another family has, and nothing that makes the page unreadable."""
    workers.fork(1)
    write_key(key)
    families = workers.together().families(taken=["nodecluster", "nodecluster_workers", "nodecluster_worker_starts"])
    assert families == []


def test_names_of_labels_are_made_plain(workers: MeteredWorkers) -> None:
    """A scraper would take nothing of a page with one that it does not know; a slot has its own."""
    workers.fork(1)
    write_key(["counter", "a.b", "a.b_total", ["c:d", "1"], ["x", "y"], "About.", ""])
    write_key(["gauge", "g", "g", ["slot", "worker_slot"], ["x", "y"], "About.", "all"])
    assert workers.told() == {"a_b_total{_1=y,c_d=x}": 1, "g{slot=x,worker_slot=y,worker_worker_slot=1}": 1}


@given(data=st.binary(min_size=1, max_size=2048), at=st.integers(0, KEYS_AT + 4096))
@example(data=b"\0\0\0\0\1", at=223804)  # half a request in a bucket
@example(data=struct.pack("d", -1.0), at=VALUES_AT)  # fewer than none
@example(data=bytes(5), at=44)  # a histogram of which not all buckets are there
@settings(max_examples=drawn(150), deadline=None)
def test_nonsense_is_not_believed(data: bytes, at: int) -> None:
    """What is told is what both parsers read, and every sum is a number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "ValueClass", values.ValueClass)
        patch.setattr(shared_values._ThisProcess, "values", None)
        patch.setattr(shared_values._ThisProcess, "view", None)
        share_prometheus_metrics()
        workers = MeteredWorkers()
        try:
            rewritten(workers, lambda fd: os.pwrite(fd, data, at) and None)
            workers.readers[1] = ApplicationValues(workers.memories[1])
            for _ in range(2):
                assert all(math.isfinite(value) for value in workers.told().values())
        finally:
            abandon_values()
            workers.memories[1].close()
