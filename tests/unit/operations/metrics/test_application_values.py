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
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, values
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nodecluster_compat.machine.sealed_memory import SealedMemory
from nodecluster_compat.operations.metrics import application_keys, application_values, exposition, shared_values
from nodecluster_compat.operations.metrics.application_values import ApplicationSum, ApplicationValues
from nodecluster_compat.operations.metrics.exposition import openmetrics, text
from nodecluster_compat.operations.metrics.families import Family, Sample
from nodecluster_compat.operations.metrics.layout import KEYS_AT, VALUES, VALUES_AT, WHOLE_BYTES
from nodecluster_compat.operations.metrics.prometheus_values import share_prometheus_metrics
from nodecluster_compat.operations.metrics.shared_values import make_values, values_here, worker_begins, worker_is_left

pytestmark = pytest.mark.usefixtures("no_leaks")


class Workers:
    """Workers of one process, one after another: each is forked from what was there before."""

    def __init__(self) -> None:
        self.memories: dict[int, SealedMemory] = {}
        self.readers: dict[int, ApplicationValues] = {}
        self.ended = ApplicationSum()
        self.registry = CollectorRegistry()

    def fork(self, slot: int) -> None:
        """What is counted from now on is counted by the worker in ``slot``."""
        memory = SealedMemory("test", WHOLE_BYTES)
        self.memories[slot], self.readers[slot] = memory, ApplicationValues(memory)
        worker_begins(memory.view())

    def fork_anew(self, slot: int) -> None:
        """The same, of a process that has no metrics yet."""
        shared_values._ThisProcess.values = None
        self.fork(slot)

    def end(self, slot: int) -> None:
        self.ended.add(slot, self.readers.pop(slot), has_ended=True)
        self.memories.pop(slot).close()

    def together(self) -> ApplicationSum:
        made = self.ended.copy()
        for slot, reader in self.readers.items():
            made.add(slot, reader)
        return made

    def told(self) -> dict[str, float]:
        """What a scraper reads, as ``name{labels}``; both formats are the same."""
        families = self.together().families()
        plain = _samples(parse_text(text(families).decode()))
        assert plain == _samples(parse_openmetrics(openmetrics(families).decode()))
        return plain


def _samples(families: Any) -> dict[str, float]:
    found = {}
    for family in families:
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
            assert (one.name + labels) not in found
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(shared_values._ThisProcess, "values", None)
    monkeypatch.setattr(shared_values._ThisProcess, "view", None)
    share_prometheus_metrics()
    made = Workers()
    yield made
    worker_is_left()
    for memory in made.memories.values():
        memory.close()


def test_counters_are_summed_and_never_go_back(workers: Workers) -> None:
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


def test_counter_that_is_reset_keeps_what_it_had(workers: Workers) -> None:
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


def test_histograms_and_summaries(workers: Workers) -> None:
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
def test_gauges_by_their_mode(workers: Workers, mode: Any) -> None:
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


def test_gauge_of_every_worker_has_a_series_for_each_slot_only(workers: Workers) -> None:
    """However many workers a slot has had; the label has another name where the metric has one of that name."""
    gauge = Gauge("g", "Gauge.", registry=workers.registry)
    named = Gauge("n", "Gauge.", ["slot"], registry=workers.registry)
    for number in range(20):
        workers.fork(1)
        gauge.inc(number)
        named.labels("mine").dec()
        workers.end(1)
    assert workers.told() == {"g{slot=1}": 19, "n{slot=mine,worker_slot=1}": -1}


def test_what_the_primary_counts_is_counted(workers: Workers) -> None:
    """In ``gunicorn.conf.py``; what it has not touched is not there."""
    Counter("loads", "Loads.", registry=workers.registry).inc()
    Counter("never", "Never.", registry=workers.registry)
    own = values_here()
    assert own is not None
    together = ApplicationSum()
    together.add(0, ApplicationValues(own), only_used=True)
    assert _samples(parse_text(text(together.families()).decode())) == {"loads_total": 1}


def test_registry_of_a_process_works_as_ever(workers: Workers) -> None:
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
    told = _samples(parse_text(text(together.families()).decode()))
    assert told["early_total{kind=a}"] == 3
    assert told["early_h_count"] == 1


def test_forked_process_counts_for_itself(workers: Workers) -> None:
    """What a worker forks does not count for it, and sees what was counted before."""
    workers.fork(1)
    jobs = Counter("jobs", "Jobs.", registry=workers.registry)
    jobs.inc(2)
    worker_is_left()
    jobs.inc()
    assert jobs._value.get() == 3
    assert workers.told() == {"jobs_total": 2}


def test_more_values_than_there_is_room_for(workers: Workers) -> None:
    """Those that do not fit count in their process, and are said to be missing."""
    workers.fork(1)
    for number in range(VALUES):
        make_values().index_of(b"%d" % number)
    jobs = Counter("jobs", "Jobs.", registry=workers.registry)
    jobs.inc(2)
    assert jobs._value.get() == 2
    assert workers.together().dropped == 1


def test_family_of_another_is_left_out(workers: Workers) -> None:
    """One name cannot be told twice."""
    workers.fork(1)
    Counter("jobs", "Jobs.", registry=workers.registry).inc()
    assert workers.together().families(taken=["jobs"]) == []


@pytest.mark.parametrize("value", ["plain", 'quo"ted', "back\\slash", "two\nlines", "\u00fc\u20ac", ""])
def test_labels_are_escaped(workers: Workers, value: str) -> None:
    """Both parsers read them back."""
    workers.fork(1)
    Counter("jobs", 'He"l\\p\nme.', ["kind"], registry=workers.registry).labels(value).inc()
    assert workers.told() == {f"jobs_total{{kind={value}}}": 1}


def write_key(key: list[Any], value: float = 1.0) -> None:
    """Count what ``prometheus_client`` would not."""
    store = make_values()
    index = store.index_of(json.dumps(key).encode())
    if index >= 0:
        store.cells[2 * index] = value


def test_key_that_is_too_long_is_kept_nowhere(workers: Workers) -> None:
    """A help text of some MiB would be in every scrape; the worker leaves it out by itself, and says so."""
    jobs = Counter("jobs", "x" * 5000, registry=workers.registry)
    workers.fork(1)
    jobs.inc()
    assert (workers.told(), workers.together().dropped) == ({}, 1)
    long = json.dumps(["counter", "jobs", "jobs_total", [], [], "x" * 5000, ""]).encode()
    assert application_keys.key_of(long) is None


def test_what_has_ended_is_bounded_and_the_last_is_kept(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with other labels in each of its lives keeps nobody out; what others renew stays."""
    monkeypatch.setattr(application_values, "_MOST_BYTES", 100_000)
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


def test_help_text_that_a_deploy_has_changed_makes_no_second_line(workers: Workers) -> None:
    """Nor does the mode of a gauge: a scraper refuses a line that is there twice.  The new ones are told."""
    for life in (1, 2):
        workers.fork_anew(1)
        write_key(["counter", "jobs", "jobs_total", [], [], f"Jobs, {life}.", ""])
        write_key(["gauge", "g", "g", [], [], f"Gauge, {life}.", ("sum", "max")[life - 1]], 5.0 * life)
        if life == 1:
            workers.end(1)
    assert workers.told() == {"jobs_total": 2, "g": 10}
    assert {one.name: one.about for one in workers.together().families()} == {"jobs": "Jobs, 2.", "g": "Gauge, 2."}


def test_texts_of_what_is_not_kept_are_not_kept(workers: Workers) -> None:
    for number in range(3):
        workers.fork_anew(1)
        registry = CollectorRegistry()
        Gauge(f"mine_{number}", "Live.", registry=registry, multiprocess_mode="livesum").set(1)
        Counter(f"never_{number}", "No number.", registry=registry).inc(math.nan)
        Counter("jobs", f"Jobs {number}.", registry=registry).inc()
        workers.end(1)
    assert workers.ended._abouts == {"jobs": "Jobs 2."}


def test_of_two_families_that_tell_one_name_the_first_stays(workers: Workers) -> None:
    """Each worker can have its own; one page with both is refused as a whole."""
    workers.fork_anew(1)
    Counter("jobs", "Jobs.", registry=CollectorRegistry()).inc(2)
    workers.fork_anew(2)
    Gauge("jobs_total", "Jobs.", registry=CollectorRegistry(), multiprocess_mode="sum").set(5)
    assert workers.told() == {"jobs_total": 2}
    assert workers.together().doubles(()) == {"jobs_total"}


def test_living_workers_have_room_whatever_has_ended(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_values, "_MOST_SERIES", 2)
    workers.fork_anew(1)
    for number in range(3):
        write_key(["counter", "junk", "junk_total", ["of"], [str(number)], "Junk.", ""])
    workers.end(1)
    workers.fork_anew(2)
    write_key(["counter", "jobs", "jobs_total", [], [], "Jobs.", ""])
    assert workers.told() == {"junk_total{of=1}": 1, "junk_total{of=2}": 1, "jobs_total": 1}


def test_texts_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_MOST_BYTES", 10_000)
    for number in range(100):
        text([Family(f"m{number}", "gauge", "x" * 900, [Sample("", (("a", "x" * 900),), 1)])])
    caches = (exposition._text_head, exposition._start)
    assert 0 < sum(one.cache_info().currsize for one in caches) <= 12


# --- a worker that lies --------------------------------------------------------------------------


def rewritten(workers: Workers, write: Callable[[int], None]) -> ApplicationSum:
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
def test_forged_line_is_not_told(workers: Workers, key: list[Any]) -> None:
    """Nothing that another family has, and nothing that makes the page unreadable."""
    workers.fork(1)
    write_key(key)
    families = workers.together().families(taken=["nodecluster", "nodecluster_workers", "nodecluster_worker_starts"])
    assert families == []


def test_names_of_labels_are_made_plain(workers: Workers) -> None:
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
        workers = Workers()
        try:
            rewritten(workers, lambda fd: os.pwrite(fd, data, at) and None)
            workers.readers[1] = ApplicationValues(workers.memories[1])
            for _ in range(2):
                assert all(math.isfinite(value) for value in workers.told().values())
        finally:
            worker_is_left()
            workers.memories[1].close()
