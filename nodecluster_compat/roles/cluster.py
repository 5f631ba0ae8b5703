"""Give Node's ``cluster`` module as an object, the same name in every role.

The role is decided by the server, not by this module: until an arbiter adopts it the process counts as a
primary without a cluster (a plain program, a unit test, ``gunicorn.conf.py`` while it is read), where
registering handlers, timers and settings is safe and kept for later, and what needs a cluster raises.
After a fork the child's copy becomes the worker's view.

As in Node, ``fork``, ``disconnect``, ``workers``, ``settings``, … do not exist in a worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..base.arguments import checked_callable, checked_seconds
from ..base.arity import checked_callback
from ..base.drain_timeout import checked_timeout
from ..base.event_names import KnownEvents
from ..base.handler_calls import Origin, current_origin
from ..base.timers import Timer
from ..errors import NotInCluster
from ..lifecycle.rollout import ReloadReport
from .cluster_settings import ClusterSettings
from .cluster_setup import SCHED_NONE, SCHED_RR, ClusterSetup
from .cluster_sharing import ClusterSharing
from .cluster_timers import ClusterTimers
from .primary import Primary
from .process import process
from .status import ClusterStatus
from .this_worker import ClusterWorker
from .worker import Worker
from .worker_environment import worker_environment
from .worker_handle import WorkerHandle

__all__ = ["SCHED_NONE", "SCHED_RR", "Cluster", "cluster"]


class Cluster(ClusterSetup, ClusterTimers, ClusterSharing):
    """The cluster as this process sees it.  In a worker it has another class, which lacks the primary's members.

    Events, in the primary: ``setup(settings)``, ``fork(worker)``, ``online(worker)``, ``listening(worker, address)``,
    ``message(worker, message, handle)``, ``disconnect(worker)``, ``exit(worker, code, signal)``; and of our own
    ``request(worker, message, reply)``, ``blocked(worker, seconds)``, ``unblocked(worker, seconds)``,
    ``reloaded(report)``, ``reload_failed(report)``, ``degraded(status)``, ``recovered(status)``,
    ``upgrade_ready(pid)`` and ``upgrade_failed(pid)``.

    Handlers run on the primary's loop: while one blocks, no event is told and no worker is replaced.
    """

    Worker = Worker
    _known = KnownEvents(
        {
            "setup": 1,
            "fork": 1,
            "online": 1,
            "listening": 2,
            "message": 3,
            "request": 3,
            "disconnect": 1,
            "exit": 3,
            "blocked": 2,
            "unblocked": 2,
            "reloaded": 1,
            "reload_failed": 1,
            "degraded": 1,
            "recovered": 1,
            "upgrade_ready": 1,
            "upgrade_failed": 1,
        },
        {"error": "write worker.on('error')", "death": "it is called 'exit'", "spawn": "it is called 'fork'"},
    )

    def __init__(self) -> None:
        super().__init__()
        self._primary: Primary | None = None
        self._worker: ClusterWorker | None = None
        self._before_primary: deque[Callable[[Primary], Any]] = deque()
        self._is_loading = False

    # --- roles ---------------------------------------------------------------------------------

    @property
    def is_worker(self) -> bool:
        """Whether this process is a worker."""
        return self._worker is not None

    @property
    def is_primary(self) -> bool:
        """Whether this process is not a worker."""
        return self._worker is None

    @property
    def is_master(self) -> bool:
        """Node's older name for :attr:`is_primary`."""
        return self.is_primary

    @property
    def worker(self) -> ClusterWorker | None:
        """This worker; ``None`` in a primary and in a program that no cluster started."""
        return self._worker

    # --- the primary's members -----------------------------------------------------------------

    @property
    def workers(self) -> Mapping[int, WorkerHandle]:
        """The workers by id; one leaves once it has both disconnected and exited."""
        return MappingProxyType({}) if self._primary is None else self._primary.registry.by_id

    def fork(self, env: Mapping[str, object] | None = None) -> WorkerHandle:
        """Start a worker: fill a vacancy, or with none raise the number of workers by one, as TTIN does.

        Args:
            env: added to the environment of this worker, as text: ``8000`` becomes ``"8000"``, ``True`` becomes
                ``"true"``, and a variable that is ``None`` is not there.

        Returns:
            Its handle, at once; the process and the events follow on a later turn.

        Raises:
            ArgumentError: a variable that no environment can have; nothing has happened.
            NotInCluster: there is no running cluster.
            OSError: no descriptors are left for its channels.
        """
        added = worker_environment(env)
        if self._primary is None:
            raise NotInCluster(_NEEDS_SERVER.format("cluster.fork()"))
        self.setup_primary()
        return self._primary.fork(added)

    def disconnect(self, callback: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
        """Disconnect all workers; in server mode the server then ends as after TERM.

        Args:
            callback: called once, after the last worker is gone.
            timeout: seconds, 0 or more, after which connections that have not ended are cut; ``None``: gunicorn's
                ``graceful_timeout``, in script mode no limit.

        Raises:
            ArgumentError: ``timeout`` is something else; nothing has happened.
        """
        seconds, call = checked_timeout(timeout), checked_callback(callback, 0, "the callback of cluster.disconnect()")
        if self._primary is None:
            raise NotInCluster(_NEEDS_SERVER.format("cluster.disconnect()"))
        self._primary.disconnect(call, seconds)

    def reload(self, callback: Callable[[ReloadReport], Any] | None = None) -> None:
        """Read the configuration again and replace the workers, as HUP does.

        Args:
            callback: called once with the report when the reload has ended, however it has.
        """
        call = checked_callback(callback, 1, "the callback of cluster.reload()")
        if self._primary is None:
            raise NotInCluster(_NEEDS_SERVER.format("cluster.reload()"))
        self._primary.reload(call)

    @property
    def status(self) -> ClusterStatus:
        """How the cluster is: running, reloading or degraded, and who runs."""
        if self._primary is None:
            raise NotInCluster(_NEEDS_SERVER.format("cluster.status"))
        return self._primary.status()

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back in the primary after ``seconds``; :meth:`set_timeout` is the same in Node's words, in both roles.

        Set before the server runs, the time counts from its start.
        """
        checked = checked_callable(callback, "the callback of a timer")
        timer = Timer(checked, args, current_origin(), checked_seconds(seconds), holds=True)
        self._start(timer)
        return timer

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back on the primary's next turn.  The one member that another thread may call."""
        checked_callable(callback, "the callback of cluster.call_soon_threadsafe()")
        self._with_primary(lambda primary: primary.loop.call_soon_threadsafe(callback, *args))

    # --- one event, or one key -----------------------------------------------------------------

    def once(self, event: str, f: Callable[..., Any] | None = None) -> Any:  # noqa: ANN401 - as an emitter's
        """Call ``f`` at the next ``event`` only; or run the decorated function once in the life of the cluster.

        ``@cluster.once("warm-up")``, by a key that is no event, runs a function in one worker that serves, and in
        another one if that dies before it has returned.  A function that raises has run.

        Args:
            event: the name of an event of ``cluster``, or a key.
            f: the handler of an event.

        Raises:
            ArgumentError: a key is no text of 1 to 255 bytes, or its function needs arguments.
            NotInCluster: a key was given by the primary's own code.
        """
        if f is not None or Cluster._known.has_word_on(event) or self._known.has_word_on(event):
            return super().once(event, f)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self._sharing.once(event, function)
            return function

        return decorate

    # --- for the server around it --------------------------------------------------------------

    def become_primary(self, primary: Primary) -> None:
        """The server runs: what was asked before now happens."""
        self._primary = primary
        while self._before_primary:
            self._before_primary.popleft()(primary)

    def begin_load(self, origin: Origin) -> None:
        """The configuration is read again: its settings are forgotten, what it asks for is kept for the end."""
        self._is_loading = True
        self._forget_settings(origin)

    def end_load(self) -> None:
        """Do what the configuration has asked for: it was read to its end."""
        self._is_loading = False
        if self._primary is not None:
            self.become_primary(self._primary)

    def undo_load(self, settings: ClusterSettings) -> None:
        """Forget what the configuration has asked for, and put ``settings`` back in force."""
        self._is_loading = False
        self._before_primary.clear()
        self._settings = settings

    def become_worker(self, worker: ClusterWorker | None) -> None:
        """In a forked child: take the worker's view; ``None`` is a child that is no worker."""
        self._primary = None
        self._worker = worker
        self.__class__ = Cluster if worker is None else _InWorker
        process._worker = worker

    def let_go(self) -> None:
        """The process ends: refer to nothing of the application and the server."""
        self.become_worker(None)
        self.remove_all_listeners()
        self._before_primary.clear()
        self._settings = ClusterSettings({}, self._note_settings)

    def _kind(self) -> str:
        return "cluster"

    def _start(self, timer: Timer) -> None:
        if self._worker is not None:
            self._worker.start_timer(timer)
        else:
            self._with_primary(lambda primary: primary.loop.start(timer, timer.seconds))

    def _with_primary(self, call: Callable[[Primary], Any]) -> None:
        if self._primary is None or self._is_loading:
            self._before_primary.append(call)
        else:
            call(self._primary)


class _InWorker(Cluster):
    """The cluster as a worker sees it: Node has none of the primary's members there."""

    _known = KnownEvents(
        {},
        {
            **dict.fromkeys(Cluster._known.counts, "it is the primary's: register it under 'if cluster.is_primary:'"),
            "message": "in a worker messages come by process.on('message')",
            "disconnect": "in a worker write process.on('disconnect')",
            "exit": "in a worker write process.on('exit')",
            "request": "in a worker write process.on('request')",
        },
    )

    def _kind(self) -> str:
        return "cluster, in a worker,"

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - object has it so
        if name in _PRIMARY_ONLY:
            worker: ClusterWorker = object.__getattribute__(self, "_worker")
            raise AttributeError(f"cluster.{name} exists only in the primary, and this is worker {worker.id}")
        return object.__getattribute__(self, name)


_PRIMARY_ONLY: Final = frozenset(
    {
        "SCHED_NONE",
        "SCHED_RR",
        "call_later",
        "call_soon_threadsafe",
        "disconnect",
        "fork",
        "reload",
        "scheduling_policy",
        "settings",
        "setup_master",
        "setup_primary",
        "status",
        "workers",
    }
)
_NEEDS_SERVER: Final = (
    "{} needs a running cluster, and this process has none: start the application with "
    "'gunicorn -k nodecluster_compat.Worker'"
)

cluster = Cluster()
