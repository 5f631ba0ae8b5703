"""Build the metric families of a cluster: names, labels, values.  Pure.

Names, labels and buckets of requests are OpenTelemetry's for HTTP servers, as its exporter for Prometheus spells them;
the rest is ours, ``nodecluster_…``.  Labels are bounded, whatever a client asks for: no path, no address of a client,
no pid, no id of a worker.  A worker is named by its slot; while a successor has the slot, too, both are told as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from .families import Family, Labels, Sample
from .layout import BOUNDS

if TYPE_CHECKING:
    from ...machine.process_usage import Usage
    from ...roles.status import ClusterStatus
    from .counts import Counts
    from .figures import WorkerFigures
    from .ledger import Survey

__all__ = ["PrimaryFacts", "cluster_families"]

_BOUNDS: Final = (*map(str, BOUNDS), "+Inf")
_REQUESTS: Final = "http_server_request_duration_seconds"
_UNHEALTHY: Final = ("blocked", "stopped", "saturated")

Measure = Callable[["WorkerFigures"], float | None]


class PrimaryFacts(Struct, frozen=True):
    """The facts about the primary itself.

    Attributes:
        version: of this package.
        started: when the server began, in seconds since 1970.
        usage: what its process has used; ``None`` where that is not known.
        reloads: how many have ended, by how.
    """

    version: str
    started: float
    usage: Usage | None
    reloads: Mapping[str, int]


def cluster_families(
    status: ClusterStatus, workers: Sequence[WorkerFigures], survey: Survey, primary: PrimaryFacts
) -> list[Family]:
    """Return all metrics of a cluster.

    Args:
        status: of the same moment as the survey; of its workers nothing is asked.
        workers: the same.
        survey: what the workers have counted.
        primary: the process that tells this.
    """
    return [
        family
        for family in (
            *_request_families(survey),
            *_worker_families(status, workers, survey),
            *_connection_families(status, survey),
            *_bus_families(status),
            *_primary_families(status, primary),
        )
        if family.samples
    ]


# --- requests ------------------------------------------------------------------------------------


def _request_families(survey: Survey) -> Iterator[Family]:
    counts = survey.counts
    yield Family(_REQUESTS, "histogram", "Duration of HTTP requests.", _durations(counts), "seconds")
    active = sum(survey.active.values())
    yield _single("http_server_active_requests", "gauge", "HTTP requests in flight.", active)
    sent = sum(row.sent for row in counts.rows.values())
    yield _single("nodecluster_response_body_bytes", "counter", "Bytes of the bodies of answers.", sent, "bytes")
    lost = "HTTP requests that were in flight when their worker ended."
    yield _single("nodecluster_requests_lost", "counter", lost, survey.lost)
    late = "HTTP requests that took longer than request_timeout, or than their own limit."
    yield _single("nodecluster_requests_timed_out", "counter", late, survey.counts.late)


def _durations(counts: Counts) -> list[Sample]:
    samples: list[Sample] = []
    for (method, status), row in sorted(counts.rows.items()):
        labels, buckets = _labels_of(method, status)
        reached = list(accumulate(row.buckets))
        samples += [Sample("_bucket", one, count) for one, count in zip(buckets, reached, strict=True)]
        samples += [Sample("_count", labels, reached[-1]), Sample("_sum", labels, row.seconds)]
    return samples


@cache  # a worker can make up only so many: `row_of_key`
def _labels_of(method: str, status: str) -> tuple[Labels, tuple[Labels, ...]]:
    """Return the labels of a row, and those of its buckets."""
    labels: Labels = (("http_request_method", method),)
    if status:
        labels = (*labels, ("http_response_status_code", status))
    return labels, tuple((*labels, ("le", bound)) for bound in _BOUNDS)


# --- workers -------------------------------------------------------------------------------------


def _worker_families(status: ClusterStatus, workers: Sequence[WorkerFigures], survey: Survey) -> Iterator[Family]:
    totals = status.totals
    states = {"booting": status.booting, "listening": status.listening, "ending": status.ending}
    yield Family("nodecluster_workers", "gauge", "Workers by state.", _by_label("state", states))
    yield _single("nodecluster_workers_target", "gauge", "Workers that there should be.", status.target)
    health = {word: sum(1 for one in workers if one.health == word) for word in _UNHEALTHY}
    unhealthy = "Workers whose loop does not turn, that a signal holds, or whose threads are all stuck."
    yield Family("nodecluster_workers_unhealthy", "gauge", unhealthy, _by_label("health", health))
    yield _single("nodecluster_worker_starts", "counter", "Workers that were started.", totals.spawned)
    exits = _by_label("reason", totals.exits, "_total")
    yield Family("nodecluster_worker_exits", "counter", "Workers that have ended, by reason.", exits)
    cpu = survey.cpu_seconds + sum(one.cpu_seconds or 0.0 for one in workers)
    yield _single("nodecluster_worker_cpu_seconds", "counter", "Processor time of the workers.", cpu, "seconds")
    yield from _slot_families(workers)


def _slot_families(workers: Sequence[WorkerFigures]) -> Iterator[Family]:
    slots: dict[int, list[WorkerFigures]] = {}
    for one in workers:
        if one.slot:
            slots.setdefault(one.slot, []).append(one)
    by_slot = [((("slot", str(slot)),), slots[slot]) for slot in sorted(slots)]
    worst: Callable[[Sequence[float]], float] = max
    for name, about, unit, joined, measure in (
        ("active_requests", "Requests in flight.", "", sum, lambda one: one.active_requests),
        ("oldest_request_seconds", "Age of the oldest request in flight.", "seconds", worst,
         lambda one: one.oldest_request_seconds or 0.0),
        ("connections", "Connections that are open.", "", sum, lambda one: one.connections),
        ("lag_seconds", "How late the loop was, at worst, within the last seconds.", "seconds", worst,
         lambda one: one.lag),
        ("resident_memory_bytes", "Resident memory.", "bytes", sum, lambda one: one.rss_bytes),
    ):  # fmt: skip
        yield Family(f"nodecluster_worker_{name}", "gauge", about, list(_samples(by_slot, measure, joined)), unit)


def _samples(
    by_slot: Sequence[tuple[Labels, Sequence[WorkerFigures]]],
    measure: Measure,
    joined: Callable[[list[float]], float],
) -> Iterator[Sample]:
    for labels, workers in by_slot:
        values = [value for one in workers if (value := measure(one)) is not None]
        if values:
            yield Sample("", labels, values[0] if len(values) == 1 else joined(values))


# --- connections, and the primary ----------------------------------------------------------------


def _connection_families(status: ClusterStatus, survey: Survey) -> Iterator[Family]:
    queue = status.queue
    results = {"taken": survey.counts.opened, "left": queue.left, "overdue": queue.overdue}
    about = "Connections: taken by a worker, left by their client while they waited, closed after queue_timeout."
    yield Family("nodecluster_connections", "counter", about, _by_label("result", results, "_total"))
    waiting = "Connections that wait in the primary for a worker."
    yield _single("nodecluster_queue_connections", "gauge", waiting, queue.waiting)
    oldest = "How long the oldest of them has waited."
    yield _single("nodecluster_queue_oldest_seconds", "gauge", oldest, queue.oldest_seconds, "seconds")
    backlogs = {one.address: one.backlog for one in status.listeners if one.backlog is not None}
    kernel = "Connections that wait in the kernel to be accepted."
    yield Family("nodecluster_listener_backlog", "gauge", kernel, _by_label("address", backlogs))


def _bus_families(status: ClusterStatus) -> Iterator[Family]:
    published = "Messages of topics that have come to the primary."
    yield _single("nodecluster_bus_messages", "counter", published, status.bus.published)
    dropped = "Deliveries of messages that were lost, by reason."
    yield Family("nodecluster_bus_dropped", "counter", dropped, _by_label("reason", status.bus.dropped, "_total"))


def _primary_families(status: ClusterStatus, primary: PrimaryFacts) -> Iterator[Family]:
    yield Family("nodecluster", "info", "About the server.", [Sample("_info", (("version", primary.version),), 1)])
    began = "When the server began, in seconds since 1970."
    yield _single("nodecluster_start_time_seconds", "gauge", began, primary.started, "seconds")
    degraded = "Whether workers keep failing."
    yield _single("nodecluster_degraded", "gauge", degraded, int(status.state == "degraded"))
    yield _single("nodecluster_generation", "gauge", "Generation of the workers that serve.", status.generation)
    reloads = _by_label("state", primary.reloads, "_total")
    yield Family("nodecluster_reloads", "counter", "Reloads that have ended, by how.", reloads)
    if primary.usage is not None:
        rss, cpu = primary.usage.rss_bytes, primary.usage.cpu_seconds
        memory, time = "Resident memory of the primary.", "Processor time of the primary."
        yield _single("nodecluster_primary_resident_memory_bytes", "gauge", memory, rss, "bytes")
        yield _single("nodecluster_primary_cpu_seconds", "counter", time, cpu, "seconds")


def _single(name: str, kind: str, about: str, value: float, unit: str = "") -> Family:
    if kind == "counter":
        return Family(name, "counter", about, [Sample("_total", (), value)], unit)
    return Family(name, "gauge", about, [Sample("", (), value)], unit)


def _by_label(label: str, values: Mapping[str, float], suffix: str = "") -> list[Sample]:
    return [Sample(suffix, ((label, key),), value) for key, value in values.items()]
