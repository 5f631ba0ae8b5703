"""Write the texts of a failure's report: the cause in one line, the topology, the timeline, the logs.

Everything is bounded and plain text, for xdist, the terminal and JUnit XML.  The writer of JUnit XML takes only
sections that begin with *stdout*, *stderr* or *log*, and leaves out their titles, so each text says in its first line
what it is.  The artefacts have what is cut here, and the report says where they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..clusters.changes import Snapshot, take_snapshot
from ..clusters.readiness import worker_ids
from ..errors import Unanswered
from ..journal.entries import JournalEntry
from ..processes.worker import WorkerProxy
from ..server.exits import error_in_log, why_ended

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster

__all__ = [
    "LOG_LINES",
    "SHOWN_TESTS",
    "Section",
    "cause_of",
    "living",
    "log_sections",
    "picture_of",
    "reproduce_line",
    "timeline",
    "topology",
    "used_before",
]

Section = tuple[str, str]

TIMELINE_ENTRIES = 20
LOG_LINES = 80
LINE_CHARACTERS = 400
DEAD_WORKERS = 5
SHOWN_TESTS = 5


def living(cluster: Cluster) -> list[WorkerProxy]:
    """Return the workers that have not exited; those that have are passed over at once, however many they are."""
    entries = cluster.journal.entries
    gone = {entry.worker for entry in entries if entry.event == "exit"}
    found = [WorkerProxy(cluster.server, one) for one in worker_ids(entries) if one not in gone]
    return [worker for worker in found if not worker.is_dead()]


def picture_of(cluster: Cluster) -> Snapshot:
    """Return the snapshot that a report shows: the cluster as it was when its ``with`` block ended, or as it is.

    Of the workers, those that live and those of the dead that say most: the last ones, and the one that is the cause.
    """
    entries = cluster.journal.entries
    ends = [entry.worker for entry in entries if entry.event == "exit"]
    cause = _first_to_end(cluster)
    hidden = set(ends[:-DEAD_WORKERS]) - ({cause.id} if cause else set())
    shown = [WorkerProxy(cluster.server, one) for one in worker_ids(entries) if one not in hidden]
    now = take_snapshot(cluster.primary, shown)
    if cluster.picture is None:
        return now
    unasked = {entry.worker for entry in _unasked_ends(entries)}  # told too late for the picture, it may be
    before = {one.id: one for one in cluster.picture.workers if one.id not in unasked}
    return replace(cluster.picture, workers=tuple(before.get(one.id, one) for one in now.workers))


def cause_of(
    cluster: Cluster,
    picture: Snapshot,
    *,
    unanswered: Unanswered | None = None,
    busy: Unanswered | None = None,
    compares: bool = False,
) -> str:
    """Say in one line what was wrong with the cluster, or what to try when nothing was.

    :param unanswered: of a request of ours that has made the test fail.
    :param busy: who had requests when somebody else's time was over, on whatever that waited.
    :param compares: the run does already what is to be tried.
    """
    if picture.returncode not in (None, 0):
        return _with_log(f"the primary ended: {cluster.primary.describe_end()}", cluster.log)
    return (
        _ended_worker(cluster)
        or (f"the primary ended: {cluster.primary.describe_end()}" if picture.returncode == 0 else "")
        or _silent_worker(cluster)
        or (f"a request got no answer: {unanswered}" if unanswered and unanswered.holders else "")
        or _ill_worker(cluster, picture)
        or (_not_begun(cluster, unanswered) if unanswered else "")
        or (f"at the time-out, {busy.holders}" if busy and busy.holders else "")
        or _nothing(picture, compares)
    )


def topology(cluster: Cluster, picture: Snapshot, uid: str) -> str:
    """List the primary and the workers, also those that have ended."""
    where = cluster.address if isinstance(cluster.address, str) else cluster.url
    state = "" if picture.returncode is None else f"ended, return code {picture.returncode}"
    parts = [f"primary pid {picture.primary_pid}", where, f"policy {cluster.options.policy_in_force}", uid, state]
    lines = ["  ".join(filter(None, parts))]
    ready = _seconds_to_ready(cluster.journal.entries)
    for worker in picture.workers:
        line = f"  {worker}"
        if worker.id in ready:
            line += f"  ready after {ready[worker.id]:.2f} s"
        lines.append(line)
    left_out = len(worker_ids(cluster.journal.entries)) - len(picture.workers)
    if left_out:
        lines.append(f"  … and {left_out} more that had ended; the journal and all logs are in the artefacts")
    return "\n".join(lines)


def timeline(entries: Sequence[JournalEntry], start: float, full: str) -> str:
    """List the last entries, by seconds since the test began; *full* says where the rest is."""
    shown = entries[-TIMELINE_ENTRIES:]
    title = f"the last {len(shown)} of {len(entries)} entries" if len(shown) < len(entries) else "all entries"
    title += f" (the rest is in {full})" if full and len(shown) < len(entries) else ""
    return "\n".join([f"{title}, in seconds since the test began:", *(_entry_line(entry, start) for entry in shown)])


def log_sections(cluster: Cluster, picture: Snapshot) -> list[Section]:
    """Return the log since the test began of the primary and of each worker in the picture, cut to its last lines."""
    shown = {worker.id for worker in picture.workers}
    named = [("primary", cluster.server.logs.primary)]
    named += [(f"worker {one}", log) for one, log in cluster.server.logs.of_workers().items() if one in shown]
    sections = []
    for name, log in named:
        lines = log.since_test_start().splitlines()
        if lines:
            count = f"{len(lines)} line{'s' if len(lines) > 1 else ''}"
            count += f", of which the last {LOG_LINES}" if len(lines) > LOG_LINES else ""
            shown_lines = [line[:LINE_CHARACTERS] for line in lines[-LOG_LINES:]]
            sections.append((name, "\n".join([f"{name} wrote since the test began {count}:", *shown_lines])))
    return sections


def used_before(tests: Sequence[str]) -> str:
    """Say which earlier *tests* have used the cluster, or nothing.  Whether it remembers them was not checked."""
    if not tests:
        return ""
    count = f"{len(tests)} earlier test{'s' if len(tests) > 1 else ''}"
    shown = ", ".join(tests[-SHOWN_TESTS:])
    named = f"{shown}" if len(tests) <= SHOWN_TESTS else f"the last were {shown}"
    return f"used before: this cluster answered {count} ({named}), which the application may remember: fresh=True"


def reproduce_line(tests: Sequence[str], settings: Sequence[str]) -> str:
    """Return the command that runs these tests again."""
    return f"reproduce: {shlex.join(['pytest', *tests, *settings])}"


def _unasked_ends(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Return the ends of workers that nobody had asked for."""
    return [
        entry
        for entry in entries
        if entry.event == "exit"
        and not entry.exited_after_disconnect
        and (entry.code is not None or entry.signal is not None)
    ]


def _first_to_end(cluster: Cluster) -> WorkerProxy | None:
    """Return the first worker whose end nobody meant, or else the first that the test has ended."""
    ended = [WorkerProxy(cluster.server, entry.worker) for entry in _unasked_ends(cluster.journal.entries)]
    return next((one for one in ended if "(injected" not in one.describe_end()), ended[0] if ended else None)


def _ended_worker(cluster: Cluster) -> str:
    worker = _first_to_end(cluster)
    if worker is None:
        return ""
    lost = worker.tally.in_flight
    text = f"{worker.title} (pid {worker.pid}) ended: {worker.describe_end()}"
    text += f", with {lost} request{'s' if lost > 1 else ''} in flight" if lost else ""
    return _with_log(text, worker.logs.since_test_start())


def _silent_worker(cluster: Cluster) -> str:
    """Say which worker gunicorn is about to end: it may hold out for a while."""
    log = cluster.server.logs.primary.text
    for worker in living(cluster):
        why = why_ended(log, worker.pid, cluster.server.timeout)
        if why:
            return f"{worker.title} (pid {worker.pid}) is being ended, because {why}"
    return ""


def _ill_worker(cluster: Cluster, picture: Snapshot) -> str:
    stuck = [f"worker {one.id}" for one in picture.workers if one.state not in ("listening", "disconnected", "dead")]
    if stuck:
        return f"{', '.join(stuck)} did not listen yet"
    for worker in (WorkerProxy(cluster.server, one.id) for one in picture.workers if not one.end):
        error = error_in_log(worker.logs.since_test_start())
        if error:
            return f"{worker.title} (pid {worker.pid}) logged {error}"
    return ""


def _not_begun(cluster: Cluster, unanswered: Unanswered) -> str:
    error = error_in_log(cluster.server.logs.primary.since_test_start())
    return f"a request got no answer: {unanswered}" + (f"; the primary's log says: {error}" if error else "")


def _nothing(picture: Snapshot, compares: bool) -> str:
    count = sum(1 for worker in picture.workers if not worker.end)
    text = f"not the cluster: {count} worker{'s' if count != 1 else ''} listened, and none had failed"
    return text + ("; --cluster-compare tells whether the test passes with one" if count > 1 and not compares else "")


def _entry_line(entry: JournalEntry, start: float) -> str:
    text = str(entry).partition(f"{entry.time:.3f} ")[2]
    return f"{entry.time - start:+8.3f}  {text}"[:LINE_CHARACTERS]


def _seconds_to_ready(entries: Sequence[JournalEntry]) -> dict[int, float]:
    forks = {entry.worker: entry.time for entry in entries if entry.event == "fork"}
    ready: dict[int, float] = {}
    for entry in entries:
        if entry.event == "listening" and entry.worker in forks:
            ready.setdefault(entry.worker, entry.time - forks[entry.worker])
    return ready


def _with_log(text: str, log: str) -> str:
    error = error_in_log(log)
    return f"{text}; its log says: {error}" if error else text
