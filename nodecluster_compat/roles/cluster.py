"""Give Node's ``cluster`` module as an object, the same name in every role.

The role is decided by the server, not by this module: until an arbiter adopts it the process counts as a
primary without a cluster (a plain program, a unit test, ``gunicorn.conf.py`` while it is read), where
registering handlers, timers and settings is safe and kept for later, and what needs a cluster raises.
After a fork the child's copy becomes the worker's view.

As in Node, ``fork``, ``disconnect``, ``workers``, ``settings``, … do not exist in a worker.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..base.arguments import checked_callable, checked_seconds
from ..base.arity import checked_callback
from ..base.drain_timeout import checked_timeout
from ..base.event_names import KnownEvents
from ..base.guarded import Origin, current_origin
from ..base.timers import Timer
from ..errors import ArgumentTypeError, NotInCluster, SettingsError
from ..lifecycle.rollout import ReloadReport
from .cluster_settings import ClusterSettings
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

SCHED_NONE: Final = 1
SCHED_RR: Final = 2
POLICY_VARIABLE: Final = "NODE_CLUSTER_SCHED_POLICY"


class Cluster(ClusterTimers, ClusterSharing):
    """The cluster as this process sees it.  In a worker it has another class, which lacks the primary's members.

    Events, in the primary: ``setup(settings)``, ``fork(worker)``, ``online(worker)``, ``listening(worker, address)``,
    ``message(worker, message, handle)``, ``disconnect(worker)``, ``exit(worker, code, signal)``; and of our own
    ``request(worker, message, reply)``, ``blocked(worker, seconds)``, ``unblocked(worker, seconds)``,
    ``reloaded(report)``, ``reload_failed(report)``, ``degraded(status)``, ``recovered(status)``,
    ``upgrade_ready(pid)`` and ``upgrade_failed(pid)``.

    A handler runs inside the primary's loop: while it blocks, no connection is dealt.

    Attributes:
        script: the whole path of the program that this process runs, if ``nodecluster`` does; what workers run, too.
    """

    SCHED_NONE = SCHED_NONE
    SCHED_RR = SCHED_RR
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
        self._settings = ClusterSettings({}, self._note_settings)
        self._setting_origins: dict[str, Origin] = {}
        self._read_environment()
        self._frozen_policy: int | None = None
        self._before_primary: deque[Callable[[Primary], Any]] = deque()
        self._is_loading = False
        self.script: str | None = None

    def _read_environment(self) -> None:
        """Take the policy from the environment: when this module is imported, and in a process that is forked then."""
        asked = {"none": SCHED_NONE, "rr": SCHED_RR}.get(os.environ.get(POLICY_VARIABLE, ""))
        self._policy: object = asked or SCHED_RR
        self._policy_asked = asked is not None

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

    @property
    def settings(self) -> ClusterSettings:
        """The settings; empty before the first :meth:`setup_primary` or :meth:`fork`, replaced by each.

        A program may change them, or set others in their place, without :meth:`setup_primary`: no ``setup`` follows.
        """
        return self._settings

    @settings.setter
    def settings(self, settings: Mapping[str, Any]) -> None:
        if not isinstance(settings, Mapping):
            raise ArgumentTypeError(f"expected a mapping as cluster.settings, got {settings!r}")
        self._settings = ClusterSettings(settings, self._note_settings)
        self._note_settings(settings)

    @property
    def scheduling_policy(self) -> object:
        """``SCHED_RR`` or ``SCHED_NONE``; what it is at the first ``setup_primary()`` or ``fork()`` counts."""
        return self._policy

    @scheduling_policy.setter
    def scheduling_policy(self, policy: int) -> None:
        self._policy = policy
        self._policy_asked = True

    @property
    def asks_for_round_robin(self) -> bool:
        """Whether somebody asked for round robin, rather than left the default alone."""
        return self._policy_asked and self._policy == SCHED_RR

    def setup_primary(self, options: Mapping[str, Any] | None = None, /, **settings: Any) -> None:
        """Merge ``settings`` into :attr:`settings`; ``setup`` follows with this call's snapshot.

        Cumulative, unknown keys are kept (``reference/node-cluster-spec`` §5.1).  The keys that concern reloads and
        restarts are :class:`~nodecluster_compat.roles.settings.SupervisionSettings`'.

        Args:
            options: settings as a mapping, as in Node.
            settings: the same as keywords, which is more usual here.

        Raises:
            SettingsError: ``scheduling_policy`` is neither ``SCHED_RR`` nor ``SCHED_NONE``, or one of those keys has
                a value that cannot be, or no effect in script mode; nothing is changed.
        """
        if not isinstance(options, Mapping | None):
            raise ArgumentTypeError(f"expected settings as keywords or as a mapping, got {options!r}")
        settings = {**(options or {}), **settings}
        self.freeze_policy()
        if self._primary is not None:
            self._primary.check_settings(settings)
        defaults = {"exec": self.script or sys.argv[0], "args": sys.argv[1:], "silent": False}
        snapshot = ClusterSettings({**defaults, **self._settings, **settings}, self._note_settings)
        self._settings = snapshot
        self._note_settings(settings)
        self._with_primary(lambda primary: primary.loop.call_soon(self.emit, "setup", snapshot))

    setup_master = setup_primary

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

    def freeze_policy(self) -> int:
        """Return the policy; from the first call on it no longer changes.

        Raises:
            SettingsError: it is neither ``SCHED_RR`` nor ``SCHED_NONE``.
        """
        if self._frozen_policy is None:
            if self._policy not in (SCHED_NONE, SCHED_RR):
                raise SettingsError(
                    "expected cluster.scheduling_policy to be cluster.SCHED_RR (2) or cluster.SCHED_NONE (1), "
                    f"got {self._policy!r}"
                )
            self._frozen_policy = SCHED_NONE if self._policy == SCHED_NONE else SCHED_RR
        return self._frozen_policy

    def become_primary(self, primary: Primary) -> None:
        """The server runs: what was asked before now happens."""
        self._primary = primary
        while self._before_primary:
            self._before_primary.popleft()(primary)

    def begin_load(self, origin: Origin) -> None:
        """The configuration is read again: its settings are forgotten, what it asks for is kept for the end."""
        self._is_loading = True
        kept = {name: value for name, value in self._settings.items() if self._setting_origins.get(name) != origin}
        self._settings = ClusterSettings(kept, self._note_settings)

    def end_load(self) -> None:
        """It was read to its end: what it asked for now happens."""
        self._is_loading = False
        if self._primary is not None:
            self.become_primary(self._primary)

    def undo_load(self, settings: ClusterSettings) -> None:
        """It is not to be used after all: what it asked for does not happen, and ``settings`` are in force again."""
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

    def _note_settings(self, names: Iterable[str]) -> None:
        self._setting_origins |= dict.fromkeys(names, current_origin())

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
            **dict.fromkeys(Cluster._known.counts, "it is the primary's: register it behind 'if cluster.is_primary:'"),
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
