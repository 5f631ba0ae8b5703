"""Record a failed test as plain data, bounded: what hooks are told, what goes through xdist, what the page draws.

Times are seconds since the test began.  A lane is a worker's id, 0 for the primary, ``None`` for a request that nobody
has answered.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..clusters.changes import Snapshot, WorkerSnapshot
from ..journal.entries import JournalEntry
from ..requests.noted import NotedRequest
from ..server.logs import LogFolder

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster

__all__ = [
    "MOST",
    "ClusterRecord",
    "FailureRecord",
    "cluster_record",
    "log_lines",
    "noted_request",
    "server_record",
    "worker_row",
]

MOST = 400
"""Entries, requests, and lines of logs and of a text, that are kept: the last ones."""
LINE_CHARACTERS = 400
DATED = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\]")

Entry = tuple[float, str, int, str, str]
"""Its time, event, lane, text, and the worker's state after it."""
Request = tuple[float, float, "int | None", str, bool]
"""Its time, how long it took, its lane, its text, and whether it has an answer below 500."""
LogLine = tuple["float | None", str, str]
"""When it was written, to a second, where that is known; by whom; the line."""


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """A cluster of a failed test."""

    name: str
    cause: str
    about: str
    """The primary, its address and policy, in one line."""
    workers: tuple[dict[str, object], ...]
    entries: tuple[Entry, ...]
    requests: tuple[Request, ...]
    logs: tuple[LogLine, ...]
    stacks: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, str], ...]
    """What hooks have added to the report: titles and texts."""
    end: float
    """When this was recorded."""
    artefacts: str = ""
    """The folder that has all of it; empty where none could be written."""
    cut: str = ""
    """Says what is left out here."""


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A phase of a test that has failed: ``call``, or ``setup`` or ``teardown``."""

    test: str
    """Its node id."""
    when: str
    error: str
    """The end of pytest's own report."""
    reproduce: str
    """The command that runs it again."""
    clusters: tuple[ClusterRecord, ...]

    def as_mapping(self) -> dict[str, object]:
        """Return it as plain data: dicts, tuples, texts, numbers."""
        return dataclasses.asdict(self)


def cluster_record(
    name: str,
    cluster: Cluster,
    picture: Snapshot,
    cause: str,
    about: str,
    *,
    start: float,
    artefacts: str,
    stacks: Sequence[tuple[str, str]],
    sections: Sequence[tuple[str, str]],
) -> ClusterRecord:
    """Record a cluster; *start* is when the test began, by the monotonic clock."""
    entries, requests = cluster.journal.entries, [one for one in cluster.requests if one.time >= start]
    logs = log_lines(cluster.server.logs, start)
    return ClusterRecord(
        name=name,
        cause=cause,
        about=about,
        workers=tuple(map(worker_row, picture.workers)),
        entries=tuple(noted_entry(one, start) for one in entries[-MOST:]),
        requests=tuple(noted_request(one, start) for one in requests[-MOST:]),
        logs=tuple(logs[-MOST:]),
        stacks=_bounded(stacks),
        sections=_bounded(sections),
        end=round(time.monotonic() - start, 4),
        artefacts=artefacts,
        cut=_left_out({"entries": len(entries), "requests": len(requests), "lines of logs": len(logs)}),
    )


def server_record(
    name: str, error: str, logs: LogFolder, entries: Sequence[JournalEntry], *, start: float, artefacts: str
) -> ClusterRecord:
    """Record a server that did not start, or did not end: nobody can be asked about it any more."""
    return ClusterRecord(
        name=name,
        cause=error.partition("\n")[0],
        about="",
        workers=(),
        entries=tuple(noted_entry(one, start) for one in entries[-MOST:]),
        requests=(),
        logs=tuple(log_lines(logs, start)[-MOST:]),
        stacks=(),
        sections=_bounded([("error", error)]),
        end=round(time.monotonic() - start, 4),
        artefacts=artefacts,
    )


def noted_entry(entry: JournalEntry, start: float) -> Entry:
    """Return an entry with its time since *start*."""
    text = str(entry).partition(f"{entry.time:.3f} ")[2][:LINE_CHARACTERS]
    return round(entry.time - start, 4), entry.event, entry.worker, text, entry.state


def noted_request(request: NotedRequest, start: float) -> Request:
    """Return a request with its time since *start*."""
    is_well = request.status is not None and request.status < 500
    text = str(request)[:LINE_CHARACTERS]
    return round(request.time - start, 4), round(request.seconds, 4), request.worker, text, is_well


def worker_row(worker: WorkerSnapshot) -> dict[str, object]:
    """Return a worker's state as a mapping."""
    return dataclasses.asdict(worker)


def log_lines(logs: LogFolder, start: float) -> list[LogLine]:
    """Return what all processes wrote since the test began, by time; a line without one belongs to that before it."""
    began = time.time() - (time.monotonic() - start)
    named = [("primary", logs.primary), *((f"worker {one}", log) for one, log in logs.of_workers().items())]
    lines = [line for name, log in named for line in _timed(name, log.since_test_start().splitlines(), began)]
    return sorted(lines, key=lambda line: float("-inf") if line[0] is None else line[0])


def _timed(name: str, lines: Iterable[str], began: float) -> list[LogLine]:
    found: list[LogLine] = []
    now: float | None = None
    for line in lines:
        dated = DATED.search(line[:200])
        if dated is not None:
            now = _since(dated[1], began, now)
        found.append((now, name, line[:LINE_CHARACTERS]))
    return found


def _since(text: str, began: float, former: float | None) -> float | None:
    try:
        return round(datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z").timestamp() - began, 3)
    except (ValueError, OverflowError):
        return former


def _bounded(texts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (title[:LINE_CHARACTERS], "\n".join(line[:LINE_CHARACTERS] for line in text.splitlines()[-MOST:]))
        for title, text in texts
    )


def _left_out(counts: dict[str, int]) -> str:
    found = [f"the last {MOST} of {count} {what}" for what, count in counts.items() if count > MOST]
    return f"here are {', '.join(found)}; the artefacts have all" if found else ""
