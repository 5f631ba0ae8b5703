"""What scrapers read: both formats, whatever is in names and values, and the cluster's own families."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nodecluster_compat.connections.queue_watch import QueueStatus
from nodecluster_compat.machine.process_usage import Usage
from nodecluster_compat.operations.metrics.cluster_families import PrimaryFacts, cluster_families
from nodecluster_compat.operations.metrics.counts import Counts, RowCounts
from nodecluster_compat.operations.metrics.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    negotiated,
    openmetrics,
    text,
)
from nodecluster_compat.operations.metrics.families import Exemplar, Family, Sample
from nodecluster_compat.operations.metrics.layout import BOUNDS
from nodecluster_compat.operations.metrics.ledger import Survey
from nodecluster_compat.roles.status import BusStatus, ClusterStatus, ListenerStatus, Totals, WorkerStatus

PROMETHEUS: Final = (
    "application/vnd.google.protobuf;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT_TYPE),
        ("*/*", TEXT_TYPE),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT_TYPE),
        ("text/plain", TEXT_TYPE),
        ("application/openmetrics-text", OPENMETRICS_TYPE),
        ("Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS_TYPE),
        (PROMETHEUS, OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", TEXT_TYPE),
        ("application/openmetrics-text;q=0", TEXT_TYPE),
        ("application/openmetrics-text;q=much", TEXT_TYPE),
        (";;,,q=1;", TEXT_TYPE),
    ],
)
def test_format_is_what_was_asked_for(accept: str, expected: str) -> None:
    assert negotiated(accept)[0] == expected


def samples(families: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in families:
        for one in family.samples:
            key = one.name, tuple(sorted(one.labels.items()))
            assert key not in found
            found[key] = one.value
    return found


@given(st.text(), st.text(), st.floats(allow_nan=False))
def test_any_text_and_any_number_is_read_back(about: str, label: str, value: float) -> None:
    """By both parsers, to the last bit."""
    for line_end in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r":  # the parsers of these tests split lines there, too
        about, label = about.replace(line_end, ""), label.replace(line_end, "")
    family = Family("a", "gauge", about, [Sample("", (("b", label),), value)])
    expected = {("a", (("b", label),)): value}
    assert samples(parse_text(text([family]).decode("utf-8", "surrogatepass"))) == expected
    assert samples(parse_openmetrics(openmetrics([family]).decode("utf-8", "surrogatepass"))) == expected


def test_numbers_that_are_none_and_names_that_are_none() -> None:
    """NaN and the infinities have words; what cannot be in a name is an underscore."""
    values = [math.nan, math.inf, -math.inf, 0, 1e300, 2**53]
    family = Family(
        "9a.b-\u00fc", "gauge", "A.", [Sample("", (("l.x", str(at)),), one) for at, one in enumerate(values)]
    )
    for read in (parse_text(text([family]).decode()), parse_openmetrics(openmetrics([family]).decode())):
        found = samples(read)
        assert {name for name, _ in found} == {"_9a_b__"}
        assert [repr(float(one)) for one in found.values()] == [repr(float(one)) for one in values]


def test_exemplars_are_in_openmetrics_only() -> None:
    exemplar = Exemplar((("trace_id", "a b"),), 0.5, 1_700_000_000.25)
    family = Family("a", "counter", "A.", [Sample("_total", (), 3, exemplar)])
    assert b"trace_id" not in text([family])
    [[sample]] = [one.samples for one in parse_openmetrics(openmetrics([family]).decode())]
    assert sample.exemplar is not None
    assert (sample.exemplar.labels, sample.exemplar.value) == ({"trace_id": "a b"}, 0.5)
    assert float(sample.exemplar.timestamp) == 1_700_000_000.25


# --- the cluster's own ---------------------------------------------------------------------------


def worker(number: int, slot: int, **more: Any) -> WorkerStatus:
    return WorkerStatus(number, 100 + number, "listening", more.pop("health", "ok"), more.pop("lag", 0.0), slot, **more)


STATUS: Final = ClusterStatus(
    pid=1,
    state="degraded",
    target=2,
    listening=2,
    booting=1,
    ending=1,
    generation=3,
    workers=(
        worker(1, 1, active_requests=2, connections=3, rss_bytes=10, cpu_seconds=1.0, oldest_request_seconds=9.0),
        worker(4, 1, active_requests=1, connections=1, rss_bytes=20, cpu_seconds=0.5, lag=0.2, health="blocked"),
        worker(5, 0),
    ),
    queue=QueueStatus(4, 5, 6, 2.5),
    faults=0,
    last_fault=None,
    reload=None,
    upgrade=None,
    listeners=(ListenerStatus("127.0.0.1:80", 7, 128), ListenerStatus("/run/a b.sock", None, None)),
    totals=Totals(9, {"crash": 8}),
    bus=BusStatus(12, {"slow_worker": 0, "slow_handler": 3}),
)
ROW: Final = RowCounts(1.5, 30, (2, *[0] * (len(BOUNDS) - 1), 1))
SURVEY: Final = Survey(Counts({("GET", "200"): ROW, ("_OTHER", ""): ROW}, 11, 10, 4), {1: 2, 4: 1}, 3, 100.0)
PRIMARY: Final = PrimaryFacts("1.2.3", 1_700_000_000.0, Usage(77, 0.25), {"succeeded": 1})


def test_cluster_is_told_by_name() -> None:
    """Two workers of one slot are one series, and what nobody knows is not told."""
    families = cluster_families(STATUS, STATUS.workers, SURVEY, PRIMARY)  # type: ignore[arg-type]  # as a figure each
    found = samples(parse_text(text(families).decode()))
    assert found == samples(parse_openmetrics(openmetrics(families).decode()))
    told = {
        f"{name}{{{','.join(f'{key}={value}' for key, value in labels)}}}": one for (name, labels), one in found.items()
    }
    duration = "http_server_request_duration_seconds"
    request = "http_request_method=GET,http_response_status_code=200"
    for name, expected in {
        f"{duration}_bucket{{{request},le=0.005}}": 2,
        f"{duration}_bucket{{{request},le=10.0}}": 2,
        f"{duration}_bucket{{{request},le=+Inf}}": 3,
        f"{duration}_count{{{request}}}": 3,
        f"{duration}_sum{{{request}}}": 1.5,
        f"{duration}_count{{http_request_method=_OTHER}}": 3,
        "http_server_active_requests{}": 3,
        "nodecluster_response_body_bytes_total{}": 60,
        "nodecluster_requests_lost_total{}": 3,
        "nodecluster_requests_timed_out_total{}": 4,
        "nodecluster_workers{state=booting}": 1,
        "nodecluster_workers_unhealthy{health=blocked}": 1,
        "nodecluster_worker_exits_total{reason=crash}": 8,
        "nodecluster_bus_messages_total{}": 12,
        "nodecluster_bus_dropped_total{reason=slow_handler}": 3,
        "nodecluster_worker_cpu_seconds_total{}": 101.5,
        "nodecluster_worker_active_requests{slot=1}": 3,
        "nodecluster_worker_resident_memory_bytes{slot=1}": 30,
        "nodecluster_worker_oldest_request_seconds{slot=1}": 9,
        "nodecluster_worker_lag_seconds{slot=1}": 0.2,
        "nodecluster_connections_total{result=taken}": 11,
        "nodecluster_connections_total{result=overdue}": 6,
        "nodecluster_queue_oldest_seconds{}": 2.5,
        "nodecluster_listener_backlog{address=127.0.0.1:80}": 7,
        "nodecluster_reloads_total{state=succeeded}": 1,
        "nodecluster_degraded{}": 1,
        "nodecluster_info{version=1.2.3}": 1,
        "nodecluster_primary_cpu_seconds_total{}": 0.25,
    }.items():
        assert told[name] == expected, name
    assert not [name for name in told if "slot=0" in name or "sock" in name]


@pytest.mark.parametrize("write", [text, openmetrics])
def test_path_that_is_no_utf8_costs_its_own_letters_only(write: Callable[[Iterable[Family]], bytes]) -> None:
    """Of a listener, say."""
    told = write([Family("a", "gauge", "About.", [Sample("", (("address", "/run/caf\udce9"),), 1)])])
    assert b'a{address="/run/caf?"} 1\n' in told
