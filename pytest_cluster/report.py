"""What a failure should show: one line of cause, who was there, what happened, and what each process had to say.

Everything is bounded and plain text: it goes through xdist, to the terminal and into JUnit XML, whose writer takes only
sections that begin with *stdout*, *stderr* or *log*, and leaves their titles out: so each text says in its first line
what it is.  What is cut is in the artefacts, and the report says where.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .entries import JournalEntry
from .exits import error_in_log

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["LOG_LINES", "Section", "cause_of", "log_sections", "reproduce_line", "timeline", "topology"]

Section = tuple[str, str]

TIMELINE_ENTRIES = 20
LOG_LINES = 80
LINE_CHARACTERS = 400


def cause_of(cluster: Cluster, *, compares: bool = False) -> str:
    """Say in one line what was wrong with the cluster, or what to try when nothing was.

    *compares*: the run does already what is to be tried.
    """
    if cluster.returncode not in (None, 0):
        return _with_log(f"the primary ended: {cluster.primary.describe_end()}", cluster.log)
    told = [one for one in cluster.every_worker if one.exit_code is not None or one.exit_signal is not None]
    ended = [worker for worker in told if not worker.exited_after_disconnect]
    for worker in sorted(ended, key=lambda one: "(injected" in one.describe_end()):  # what nobody meant comes first
        lost = worker.tally.in_flight
        text = f"{worker.title} (pid {worker.pid}) ended: {worker.describe_end()}"
        text += f", with {lost} request{'s' if lost > 1 else ''} in flight" if lost else ""
        return _with_log(text, worker.logs.since_test_start())
    if cluster.returncode == 0:
        return f"the primary ended: {cluster.primary.describe_end()}"
    stuck = [worker.title for worker in cluster.workers if worker.state not in ("listening", "disconnected")]
    if stuck:
        return f"{', '.join(stuck)} did not listen yet"
    for worker in cluster.workers:
        error = error_in_log(worker.logs.since_test_start())
        if error:
            return f"{worker.title} (pid {worker.pid}) logged {error}"
    count = len(cluster.workers)
    text = f"not the cluster: {count} worker{'s' if count != 1 else ''} listened, and none had failed"
    return text + ("; --cluster-compare tells whether the test passes with one" if count > 1 and not compares else "")


def topology(cluster: Cluster, uid: str) -> str:
    """Who is, and was, in the cluster."""
    picture = cluster.snapshot()
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
    return "\n".join(lines)


def timeline(entries: Sequence[JournalEntry], start: float, full: str) -> str:
    """The last entries, by seconds since the test began; *full* says where the rest is."""
    shown = entries[-TIMELINE_ENTRIES:]
    title = f"the last {len(shown)} of {len(entries)} entries" if len(shown) < len(entries) else "all entries"
    title += f" (the rest is in {full})" if full and len(shown) < len(entries) else ""
    return "\n".join([f"{title}, in seconds since the test began:", *(_entry_line(entry, start) for entry in shown)])


def log_sections(cluster: Cluster) -> list[Section]:
    """The log of each process since the test began, cut to its last lines."""
    named = [("primary", cluster.server.logs.primary)]
    named += [(f"worker {one}", log) for one, log in cluster.server.logs.of_workers().items()]
    sections = []
    for name, log in named:
        lines = log.since_test_start().splitlines()
        if lines:
            count = f"{len(lines)} line{'s' if len(lines) > 1 else ''}"
            count += f", of which the last {LOG_LINES}" if len(lines) > LOG_LINES else ""
            shown = [line[:LINE_CHARACTERS] for line in lines[-LOG_LINES:]]
            sections.append((name, "\n".join([f"{name} wrote since the test began {count}:", *shown])))
    return sections


def reproduce_line(nodeid: str, settings: Sequence[str]) -> str:
    """The command that runs this test again."""
    return f"reproduce: {shlex.join(['pytest', nodeid, *settings])}"


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
