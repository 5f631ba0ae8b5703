"""Carry out the commands of the stock ``gunicornc`` where this gunicorn has none of its own (before 25.1).

The names and the answers are those of gunicorn's ``CommandHandlers``, whose documentation they follow.
"""

from __future__ import annotations

import os
import signal as signals
import time
from typing import Any, Final

__all__ = ["StockHandlers"]

_SHOWN: Final = (
    "bind", "workers", "worker_class", "threads", "timeout", "graceful_timeout", "keepalive", "max_requests",
    "max_requests_jitter", "worker_connections", "preload_app", "daemon", "pidfile", "proc_name", "reload",
)  # fmt: skip
_PLAIN: Final = (str, int, float, bool, list, dict, type(None))
_NO_DIRTY: Final = {"success": False, "error": "Dirty arbiter not running"}
_COMMANDS: Final = {
    "show all": "Show all processes (arbiter, web workers, dirty workers)",
    "show workers": "List HTTP workers with their status",
    "show dirty": "List dirty workers and apps",
    "show config": "Show current effective configuration",
    "show stats": "Show server statistics",
    "show listeners": "Show bound sockets",
    "worker add [N]": "Spawn N workers (default 1)",
    "worker remove [N]": "Remove N workers (default 1)",
    "worker kill <PID>": "Gracefully terminate specific worker",
    "dirty add [N]": "Spawn N dirty workers (default 1)",
    "dirty remove [N]": "Remove N dirty workers (default 1)",
    "reload": "Graceful reload (HUP)",
    "reopen": "Reopen log files (USR1)",
    "shutdown [graceful|quick]": "Shutdown server (TERM/INT)",
    "help": "Show this help message",
}
_TYPES: Final = {"AF_UNIX": "unix", "AF_INET": "tcp", "AF_INET6": "tcp6"}


class StockHandlers:
    """The commands of one arbiter; each method is one of gunicorn's."""

    def __init__(self, arbiter: Any) -> None:  # noqa: ANN401 - as gunicorn's own
        self.arbiter = arbiter

    def show_workers(self) -> dict[str, Any]:
        """Return the workers, the oldest first."""
        workers = sorted((self._worker(pid, one) for pid, one in self.arbiter.WORKERS.items()), key=lambda w: w["age"])
        return {"workers": workers, "count": len(workers)}

    @staticmethod
    def _worker(pid: int, worker: Any) -> dict[str, Any]:  # noqa: ANN401 - gunicorn has no type hints
        try:
            beat = round(time.monotonic() - worker.tmp.last_update(), 2)
        except (OSError, ValueError):
            beat = None
        about = {"pid": pid, "age": worker.age, "booted": worker.booted, "aborted": worker.aborted}
        return {**about, "last_heartbeat": beat}

    def show_all(self) -> dict[str, Any]:
        """Return the arbiter and its workers."""
        shown = ("pid", "age", "booted", "last_heartbeat")
        workers = [{"type": "web", **{key: one[key] for key in shown}} for one in self.show_workers()["workers"]]
        arbiter = {"pid": self.arbiter.pid, "type": "arbiter", "role": "master"}
        dirty: dict[str, Any] = {"dirty_arbiter": None, "dirty_workers": [], "dirty_worker_count": 0}
        return {"arbiter": arbiter, "web_workers": workers, "web_worker_count": len(workers), **dirty}

    def show_dirty(self) -> dict[str, Any]:
        """Return that there are none."""
        return {"enabled": False, "pid": None, "workers": [], "apps": []}

    def show_config(self) -> dict[str, Any]:
        """Return the settings that matter most."""
        values = {name: getattr(self.arbiter.cfg, name, None) for name in _SHOWN}
        return {name: value if isinstance(value, _PLAIN) else str(value) for name, value in values.items()}

    def show_stats(self) -> dict[str, Any]:
        """Return what is counted."""
        status = self.arbiter.status()
        totals = status.totals
        report = self.arbiter.reloader.last_report
        return {
            "uptime": round(status.uptime, 2),
            "pid": self.arbiter.pid,
            "workers_current": len(self.arbiter.WORKERS),
            "workers_target": self.arbiter.num_workers,
            "workers_spawned": totals.spawned,
            "workers_killed": sum(totals.exits.values()),
            "reloads": 0 if report is None else report.number,
            "dirty_arbiter_pid": None,
        }

    def show_listeners(self) -> dict[str, Any]:
        """Return the listening sockets."""
        shown = [
            {"address": str(one), "fd": one.fileno(), "type": _TYPES.get(one.sock.family.name, "unknown")}
            for one in self.arbiter.LISTENERS
        ]
        return {"listeners": shown, "count": len(shown)}

    def worker_add(self, count: int = 1) -> dict[str, Any]:
        """Have more workers."""
        before = self.arbiter.num_workers
        self.arbiter.scale(before + max(1, int(count)))
        return {"added": max(1, int(count)), "previous": before, "total": self.arbiter.num_workers}

    def worker_remove(self, count: int = 1) -> dict[str, Any]:
        """Have fewer workers, one at least."""
        before = self.arbiter.num_workers
        self.arbiter.scale(max(1, before - max(1, int(count))))
        return {"removed": before - self.arbiter.num_workers, "previous": before, "total": self.arbiter.num_workers}

    def dirty_add(self, count: int = 1) -> dict[str, Any]:
        """There are none here."""
        return dict(_NO_DIRTY)

    dirty_remove = dirty_add

    def reload(self) -> dict[str, Any]:
        """As HUP."""
        os.kill(self.arbiter.pid, signals.SIGHUP)
        return {"status": "reloading"}

    def reopen(self) -> dict[str, Any]:
        """As USR1."""
        os.kill(self.arbiter.pid, signals.SIGUSR1)
        return {"status": "reopening"}

    def shutdown(self, mode: str = "graceful") -> dict[str, Any]:
        """As TERM, or INT."""
        os.kill(self.arbiter.pid, signals.SIGINT if mode == "quick" else signals.SIGTERM)
        return {"status": "shutting_down", "mode": mode}

    def help(self) -> dict[str, Any]:
        """Return the commands."""
        return {"commands": dict(_COMMANDS)}
