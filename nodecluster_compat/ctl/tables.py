"""Lay out what a server says, for a terminal.  Pure: data in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..base.one_line import one_line

__all__ = ["events_text", "exits_text", "requests_text", "stacks_text", "status_text", "table", "workers_text"]

_NUMBERS = (
    ("requests", "REQUESTS"),
    ("active_requests", "ACTIVE"),
    ("oldest_request_seconds", "OLDEST"),
    ("rss_bytes", "MEMORY"),
    ("cpu_seconds", "CPU"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table, its columns as wide as they need; what is not known is a dash."""
    lines = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else one_line(str(value))


def seconds(value: float | None) -> str | None:
    """Return a span of time as people say it: ``3.2s``, ``5m 10s``, ``2h 3m``, ``4d 1h``."""
    if value is None:
        return None
    if value < 60:
        return f"{value:.1f}s"
    minutes, rest = divmod(int(value), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def size(value: float | None) -> str | None:
    """Return a number of bytes as people say it: ``34.1 MiB``."""
    if value is None:
        return None
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def workers_text(workers: Sequence[Mapping[str, Any]]) -> str:
    """Return the workers, by slot; columns of numbers that nobody counts are left out."""
    known = [(key, title) for key, title in _NUMBERS if any(one.get(key) is not None for one in workers)]
    head = ["SLOT", "ID", "PID", "STATE", "HEALTH", "LAG", "GENERATION", "AGE", *(title for _, title in known)]
    ordered = sorted(workers, key=lambda one: (one["slot"], one["id"]))
    return table(head, ([*_worker(one), *(_number(key, one.get(key)) for key, _ in known)] for one in ordered))


def _worker(one: Mapping[str, Any]) -> list[object]:
    state = "leaving" if one["is_leaving"] and one["state"] == "listening" else one["state"]
    age = seconds(one["age"])
    return [one["slot"], one["id"], one["pid"], state, one["health"], f"{one['lag']:.1f}s", one["generation"], age]


def _number(key: str, value: float | None) -> object:
    if key == "rss_bytes":
        return size(value)
    return seconds(value) if key in ("oldest_request_seconds", "cpu_seconds") else value


def status_text(status: Mapping[str, Any]) -> str:
    """Return the status in a few lines, then the workers."""
    listening, target = status["listening"], status["target"]
    moving = f"{status['booting']} booting, {status['ending']} ending"
    where = f"{status['mode']} mode, pid {status['pid']}, up {seconds(status['uptime'])}"
    lines = [
        f"{status['state']}: {listening} of {target} workers listen ({moving})",
        f"{where}, generation {status['generation']}",
        *(_listener(one) for one in status["listeners"]),
        _queue(status["queue"]),
    ]
    if status["next_attempt_in"] is not None:
        lines.append(f"next attempt to start a worker in {seconds(status['next_attempt_in'])}")
    if status["last_fault"] is not None:
        lines.append(f"{status['faults']} faults lately; the last worker that failed {status['last_fault']}")
    if status["reload"] is not None:
        lines.append(reload_text(status["reload"]))
    if status["upgrade"] is not None:
        lines.append(f"upgrade: {status['upgrade']}")
    ended = ", ".join(f"{count} {reason}" for reason, count in status["totals"]["exits"].items() if count)
    lines.append(f"{status['totals']['spawned']} workers started, ended: {ended or 'none'}")
    return "\n".join([*lines, "", workers_text(status["workers"])])


def _listener(one: Mapping[str, Any]) -> str:
    waits = "" if one["backlog"] is None else f", {one['backlog']} of {one['backlog_limit']} wait in the kernel"
    return f"listens on {one_line(one['address'])}{waits}"


def _queue(queue: Mapping[str, Any]) -> str:
    age = queue.get("oldest_seconds")
    oldest = f", the oldest for {seconds(age)}" if queue["waiting"] and age is not None else ""
    waiting = f"{queue['waiting']} connections wait for a worker{oldest}"
    return f"{waiting}; {queue['left']} left, {queue['overdue']} were overdue"


def reload_text(report: Mapping[str, Any]) -> str:
    """Return how a reload is, or ended."""
    why = f": {report['reason']}" if report["reason"] else ""
    took = "" if report["state"] == "rolling" else f" in {seconds(report['seconds'])}"
    return f"reload {report['number']} {report['state']}{took}{why}"


def exits_text(exits: Sequence[Mapping[str, Any]]) -> str:
    """Return how the last workers ended, the newest first; below, the last words of those that nobody asked to go."""
    if not exits:
        return "no worker has ended"
    rows = [
        [one["at"][:19].replace("T", " "), one["slot"], one["pid"], seconds(one["age"]), _ended(one), one["reason"]]
        for one in reversed(exits)
    ]
    shown = table(["AT (UTC)", "SLOT", "PID", "AGE", "ENDED", "REASON"], rows)
    words = [_last_words(one) for one in reversed(exits) if one["reason"] not in _ORDERLY]
    return "\n".join([shown, *words])


_ORDERLY = ("asked", "reload", "recycled", "finished")


def _ended(one: Mapping[str, Any]) -> str:
    return f"code {one['code']}" if one["signal"] is None else str(one["signal"])


def _last_words(one: Mapping[str, Any]) -> str:
    lines = "".join(f"\n    {line}" for line in one["last_words"])
    return f"\nworker {one['slot']} (pid {one['pid']}) {one['how']}{':' if lines else ''}{lines}"


def stacks_text(workers: Sequence[Mapping[str, Any]]) -> str:
    """Return the stacks, worker by worker."""
    if not workers:
        return "no worker runs"
    return "\n\n".join(f"--- worker {one['slot']} (pid {one['pid']}) ---\n{one['stacks']}" for one in workers)


def requests_text(requests: Sequence[Mapping[str, Any]]) -> str:
    """Return the requests in flight."""
    if not requests:
        return "no request is in flight"
    rows = [
        [seconds(one["age"]), one["slot"], one["pid"], one["client"], one["method"], one["path"], _at(one)]
        for one in requests
    ]
    return table(["AGE", "SLOT", "PID", "CLIENT", "METHOD", "PATH", "AT"], rows)


def _at(one: Mapping[str, Any]) -> object:
    return one["at"] or (f"(worker: {one['worker_at']})" if one["worker_at"] else None)


def events_text(events: Sequence[Mapping[str, Any]]) -> str:
    """Return events, one a line."""
    return "\n".join(_event(one) for one in events)


def _event(one: Mapping[str, Any]) -> str:
    about = {key: value for key, value in one.items() if key not in ("seq", "at", "event") and value is not None}
    facts = one_line(" ".join(f"{key}={value}" for key, value in about.items()))
    return f"{one['at'][:19].replace('T', ' ')}  {one['event']:<10}  {facts}".rstrip()
