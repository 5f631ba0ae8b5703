"""Run script mode's primary: the cluster arbiter under Node's rules instead of gunicorn's.

What is the same: the class, the loop, the channels, forking, reaping, events.  What differs: the script forks and
nobody respawns; a worker's ``listen()`` makes the primary bind; signals do what they do to any program; and the primary
ends when no worker, no server and no timer is left.

A fork happens where the script asks for it, so the pid is there at once, as in Node.  The child therefore runs far up
the script's own stack: it never returns there, but ends where it is (``ending.py``).
"""

from __future__ import annotations

import os
import signal as signals
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakSet

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from ...base.exit_code import exit_code_of
from ...base.handler_calls import set_uncaught
from ...base.native import in_force
from ...base.version import __version__
from ...gevent_runtime.script import run_script
from ...gevent_runtime.servers.servers_in_primary import ServersInPrimary
from ...gevent_runtime.servers.servers_in_process import set_servers_here
from ...gevent_runtime.uncaught import UncaughtListeners
from ...roles.cluster import cluster
from ...roles.process import process
from ...roles.spawn_settings import SpawnSettings
from ..arbiter import forking
from ..arbiter.cluster_arbiter import ClusterArbiter
from . import config as script_config
from .ending import end_as_python_does
from .hosting import ScriptHosting
from .streams import WorkerStreams, occupied
from .worker import ScriptWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...roles.spawn_settings import Stream
    from ...roles.worker_handle import ChildEnds, WorkerHandle
    from ...roles.worker_process import WorkerProcess

__all__ = ["ScriptApplication", "ScriptArbiter"]

_TURN_SECONDS: Final = 1.0
_STATUS_SECONDS: Final = 0.5


class ScriptApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's application for a script: settings, and no WSGI callable of its own.

    Attributes:
        spawn_settings: of the worker that is being forked.
        streams: its standard streams.
    """

    spawn_settings: SpawnSettings
    streams: WorkerStreams

    def load_default_config(self) -> None:
        """Replaces gunicorn's: the settings of script mode."""
        self.cfg: Any = script_config.configured()

    def load_config(self) -> None:
        """Everything is in :meth:`load_default_config`."""

    def load(self) -> NoReturn:
        """Never called: servers bring their applications."""
        raise NotImplementedError


class ScriptArbiter(ScriptHosting, ClusterArbiter, Arbiter):  # type: ignore[misc]
    """The primary of ``nodecluster script``."""

    def __init__(self, app: ScriptApplication) -> None:
        super().__init__(app)
        self.worker_class = ScriptWorker
        self.is_serving = False
        self._servers: ServersInPrimary
        self._look_at = 0.0  # a child that ends sends a signal, unless the script has seen to it otherwise
        self._piped: WeakSet[WorkerProcess] = WeakSet()  # the registry or its pipes keep what runs

    def run_script(self, path: str, args: Sequence[str]) -> int:
        """Run the script, then serve until nothing is left; return the exit code.

        Raises:
            SystemExit: the script, or a handler of it, asked to end.
        """
        self._become_primary(path)
        listeners = UncaughtListeners(process)
        set_uncaught(listeners.take)
        process.signals.run_by(self.loop.call_soon_threadsafe, {signals.SIGCHLD})
        self.primary.waiting.turn = self.turn
        cluster.script = os.path.abspath(path)
        try:
            run_script(path, args)
        except Exception as error:
            if not listeners.take(error):
                raise
        self.primary.waiting.turn = None
        self._serve()
        while process.emit("beforeExit", process.exit_code or 0) and self._has_work():
            self._serve()
        return process.exit_code or 0

    def _become_primary(self, path: str) -> None:
        self.pid = os.getpid()
        signals.signal(signals.SIGCHLD, self.signal)
        self.become_cluster_arbiter()
        self.log.info("nodecluster-compat %s, %s", __version__, in_force())
        self.proc_name = path
        self.operators.begin_title()
        self.primary.dealer.run_beside()
        self._servers = ServersInPrimary(self.loop)
        set_servers_here(self._servers)
        self.operators.begin()
        self._show_status()

    def _serve(self) -> None:
        self.is_serving = True
        while self._has_work():
            self.turn(_TURN_SECONDS)
            now = time.monotonic()
            if self.loop.was_woken or now >= self._look_at:
                self.loop.was_woken, self._look_at = False, now + _TURN_SECONDS
                self.take_signals()
                self.reap_workers()

    def close(self) -> None:
        """Give back sockets and their files; workers end when they see that the primary has gone."""
        self.primary.shared.close()
        self.primary.dealer.close()
        for server in list(self._servers.open):
            server.close()
        self.finish_files()
        self.log_writer.finish()

    def _show_status(self) -> None:
        """Keep the status file and the control socket; in server mode each turn of the main loop does."""
        self.exits.turn()
        self.status_keeper.turn()
        self.operators.turn()
        self.loop.call_later(_STATUS_SECONDS, self._show_status)

    def _has_work(self) -> bool:
        workers = self.primary.registry.by_id.values()
        for worker in workers:  # first, and without a generator: this is asked at each turn
            if worker.process.holds:
                return True
        return bool(
            self.loop.has_work
            or self._servers.keep_alive
            or len(self.WORKERS) > len(workers)
            or any(ended.is_reaped and not ended.is_closed for ended in self._piped)
        )

    # --- forking -------------------------------------------------------------------------------

    def spawn_soon(self, worker: WorkerHandle) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: here the process starts at once."""
        settings = SpawnSettings.checked(cluster.settings, script_config.SERVING_SETTINGS)
        worker.line.serializer = settings.serializer
        settings.check_identity(os.geteuid(), os.getegid())
        if settings.cwd is not None and not os.path.isdir(settings.cwd):
            self.primary.failed_to_start(worker, FileNotFoundError(2, f"no such folder: {settings.cwd}"))
            return
        self.app.spawn_settings = settings
        self.dealing.apply()
        with occupied(settings.streams):
            self._start(worker, settings.streams)

    def _start(self, worker: WorkerHandle, streams: Sequence[Stream]) -> None:
        try:
            self.primary.lift(worker, len(streams))
            self.app.streams = WorkerStreams(streams)
        except OSError as error:
            self.primary.failed_to_start(worker, error)
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        here, code = os.getpid(), None
        self.place(worker)
        try:
            pid = forking.fork_worker(self, worker, super(ClusterArbiter, self).spawn_worker)
        except BaseException as error:
            if os.getpid() == here:
                raise
            code = _code_of(error)
        if code is not None:  # in the worker; no longer inside ``except``, where the frames of the script are held
            end_as_python_does(code)
        if pid is None:
            self.app.streams.close()
        else:
            self.roster.add(self.worker_age, pid, worker, time.monotonic())
            self.app.streams.attach(worker.process, self.loop)
            self._piped.add(worker.process)

    def abandon(self, worker: WorkerHandle | None) -> ChildEnds | None:
        """Extends server mode's: a worker lets go of the servers of the primary, too."""
        ends = super().abandon(worker)
        for process_of_sibling in self._piped:
            process_of_sibling.abandon_pipes()
        if ends is not None:
            self._servers.abandon()
            # Before the worker is made, which listens itself.
            cluster.remove_all_listeners()
            process.reborn()
        return ends

    def _exit_in_order(self, error: SystemExit) -> None:
        """Replaces server mode's: a handler that calls ``sys.exit`` ends the program."""
        raise error


def _code_of(error: BaseException) -> int:
    """Return the exit code of a worker that ends by ``error``, and print what Python prints then."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if isinstance(error.code, str):
        sys.stderr.write(f"{error.code}\n")
    return exit_code_of(error)
