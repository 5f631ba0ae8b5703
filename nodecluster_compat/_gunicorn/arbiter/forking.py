"""Fork a worker, and let every forked child let go of what is the primary's.

Invariants: a worker holds no end of a sibling's channel, nor any descriptor of the primary that it
does not need; nor does any other child of the primary or of a worker.  All of it hangs on one
``os.register_at_fork`` callback, because a forgotten fork (a hook's, the dirty arbiter's) would otherwise keep
channels open and hide a worker's death.
"""

from __future__ import annotations

import logging
import os
import signal as signals
import sys
import traceback
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ... import under_test
from ...base.exit_code import exit_code_of
from ...base.handler_calls import set_uncaught
from ...machine.forked_child import detach, is_child
from ...machine.last_words import remember_primary
from ...machine.log_tail import keep_tail
from ...machine.systemd import forget_manager
from ...operations.metrics.request_meter import RequestMeter
from ...operations.metrics.shared_values import worker_begins
from ...operations.metrics.this_meter import use_meter
from ...roles.cluster import cluster
from ...roles.process import process
from ...roles.this_worker import ClusterWorker
from ...sharing.this_process import sharing
from . import log_files
from .birth import Birth
from .copy_on_write import hold_collector, keep_shared, release_collector
from .left_signals import leave_signals
from .parent_death import ask_for_signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...operations.metrics.ledger import Ledger
    from ...roles.worker_handle import ChildEnds, WorkerHandle
    from .health import Health
    from .seat import Seat

__all__ = ["fork_worker", "let_go", "register", "release_signals", "this_birth"]

HELD_SIGNALS: Final = frozenset({signals.SIGTERM, signals.SIGINT, signals.SIGQUIT, signals.SIGUSR1, signals.SIGABRT})
"""Blocked during the fork, and then noted until the worker has handlers: otherwise the child's copy of the arbiter eats
them.  Not blocked for longer: a program that a hook starts would inherit that for ever."""


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which forks.

        Attributes:
            is_supervised: whether workers are to end with it.
            spawning: the worker that is being forked, after the ``pre_fork`` hook.
            WORKER_BOOT_ERROR: the exit code of a worker that could not boot.
        """

        is_supervised: bool
        spawning: WorkerHandle | None
        health: Health
        ledger: Ledger
        WORKER_BOOT_ERROR: int

        def abandon(self, worker: WorkerHandle | None) -> ChildEnds | None:
            """In a forked child: let go of what is the primary's; return the ends of ``worker``, if it is that."""


class _ThisProcess:
    arbiter: _Seat | None = None
    expected: WorkerHandle | None = None  # whose fork is the next one after the ``pre_fork`` hook
    noted: list[int] = []  # noqa: RUF012 - of the process, like the class
    birth: Birth | None = None
    registered = False
    mask: dict[int, set[Any]] = {}  # noqa: RUF012 - by thread that forks


def register(arbiter: _Seat) -> None:
    """The arbiter of this process is a cluster arbiter from now on."""
    _ThisProcess.arbiter = arbiter
    if not _ThisProcess.registered:
        _ThisProcess.registered = True
        os.register_at_fork(before=_hold_signals, after_in_parent=_restore_signals, after_in_child=_in_child)


def this_birth() -> Birth | None:
    """Return what this worker was born with; ``None`` in a process that is no worker of ours."""
    return _ThisProcess.birth


def fork_worker(arbiter: _Seat, worker: WorkerHandle, spawn: Callable[[], int]) -> int | None:
    """Fork ``worker`` by gunicorn's own ``spawn``; return its pid, or ``None`` when there can be no process.

    The child never returns from here: it leaves by ``SystemExit``.  So there is no ``finally``.
    """
    _fork_behind_hook(arbiter, worker)
    here = os.getpid()
    try:
        arbiter.health.born(worker)
        arbiter.ledger.born(worker.id, worker.slot)
        pid = spawn()
    except Exception as error:  # in the parent only: a child turns every error into SystemExit
        _spawned(arbiter)
        if not isinstance(error, OSError):
            raise
        arbiter.health.gone(worker)
        arbiter.ledger.gone(worker.id)
        arbiter.primary.failed_to_start(worker, error)
        return None
    except BaseException as error:
        if os.getpid() == here:  # a hook has asked for the end of the server
            raise
        raise _end_of_child(error) from None
    _spawned(arbiter)
    arbiter.primary.started(worker, pid)
    return pid


def _end_of_child(error: BaseException) -> SystemExit:
    """Return what ends a worker that has raised ``error``: ``process`` emits ``exit``, and may change the code."""
    if not isinstance(error, SystemExit):
        # An application's KeyboardInterrupt, say: gunicorn would end the server with it, here in the worker.
        logging.getLogger("gunicorn.error").error("Exception in worker process", exc_info=error)
        return SystemExit(process.ended(1))
    code = exit_code_of(error)
    final = process.ended(code)
    return error if final == code else SystemExit(final)


def _spawned(arbiter: _Seat) -> None:
    """In the parent: the fork is over, whatever has become of it."""
    arbiter.spawning = None
    _unblock()
    release_collector()


def release_signals() -> None:
    """In a worker that has handlers now: deliver what came since the fork."""
    while _ThisProcess.noted:
        signals.raise_signal(_ThisProcess.noted.pop(0))


def let_go() -> None:
    """The process ends: refer to nothing of the server."""
    _ThisProcess.arbiter = _ThisProcess.expected = _ThisProcess.birth = None


def _fork_behind_hook(arbiter: _Seat, worker: WorkerHandle) -> None:
    """See to it that the next fork after the user's ``pre_fork`` hook is known as this worker's: the hook may fork."""
    _ThisProcess.expected = worker
    if not hasattr(arbiter.cfg.pre_fork, "users_hook"):  # not again for each fork: gunicorn takes a look at each hook
        arbiter.cfg.set("pre_fork", _in_front(arbiter.cfg.pre_fork))


def _in_front(users_hook: Callable[[Any, Any], Any]) -> Callable[[Any, Any], None]:
    def pre_fork(server: _Seat, gunicorn_worker: object) -> None:
        users_hook(server, gunicorn_worker)
        worker, _ThisProcess.expected = _ThisProcess.expected, None
        if worker is not None:
            signals.pthread_sigmask(signals.SIG_BLOCK, HELD_SIGNALS)
            server.spawning = worker
            hold_collector()

    pre_fork.users_hook = users_hook  # type: ignore[attr-defined]
    return pre_fork


def _unblock() -> None:
    signals.pthread_sigmask(signals.SIG_UNBLOCK, HELD_SIGNALS)


def _note_signals() -> None:
    for number in HELD_SIGNALS:
        signals.signal(number, lambda signum, _: _ThisProcess.noted.append(signum))
    _unblock()


def _hold_signals() -> None:
    """Before a worker forks: what is sent to the child meanwhile must not meet the worker's handlers."""
    if _ThisProcess.birth is not None or is_child():
        _ThisProcess.mask[get_ident()] = signals.pthread_sigmask(signals.SIG_BLOCK, HELD_SIGNALS)


def _restore_signals() -> None:
    mask = _ThisProcess.mask.pop(get_ident(), None)
    if mask is not None:
        signals.pthread_sigmask(signals.SIG_SETMASK, mask)


def _in_child() -> None:
    under_test.abandon()
    birth, _ThisProcess.birth = _ThisProcess.birth, None
    if birth is not None:
        birth.abandon()
        cluster.become_worker(None)
        sharing.abandon()
        set_uncaught(None)
    if birth is not None or is_child():
        detach()
        leave_signals()
        _restore_signals()
    arbiter, _ThisProcess.arbiter = _ThisProcess.arbiter, None
    if arbiter is None:
        return
    try:
        _abandon_primary(arbiter)
    except BaseException:
        if arbiter.spawning is None:
            raise
        # Python would print this and go on: with a worker that still holds what is the primary's.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(arbiter.WORKER_BOOT_ERROR)


def _abandon_primary(arbiter: _Seat) -> None:
    """In a forked child: give up what is the primary's, and be the worker that is being started, if one is."""
    signals.set_wakeup_fd(-1)
    worker = arbiter.spawning
    if worker is not None:
        _begin_worker(arbiter, worker)
    memory = arbiter.ledger.abandon(None if worker is None else worker.id)
    dealer = arbiter.primary.dealer
    members = None if worker is None else dealer.members_reader()
    ends = arbiter.abandon(worker)
    if worker is None or ends is None:
        sharing.abandon()
        return
    assert members is not None
    assert memory is not None
    view = memory.view()
    memory.close()
    use_meter(RequestMeter(view))
    worker_begins(view)
    _become_worker(arbiter, worker, ends, members)


def _begin_worker(arbiter: _Seat, worker: WorkerHandle) -> None:
    """Do what nothing may come before: from here on the process is no copy of the primary's to the system."""
    keep_shared()
    remember_primary(os.getppid())
    if arbiter.is_supervised:
        forget_manager(os.environ)
        ask_for_signal(arbiter.pid)
    under_test.enter_worker(worker.id)
    under_test.reach("fork")


def _become_worker(
    arbiter: _Seat, worker: WorkerHandle, ends: ChildEnds, members: Callable[[], dict[int, int]]
) -> None:
    """Be the worker for whose handle this process was forked, and say that it is online."""
    assert worker.heartbeat is not None
    assert worker.notebook is not None
    member = ClusterWorker(
        worker.id, ends.messages, process, arbiter.log, worker.env, worker.line.serializer, worker.max_message_bytes
    )
    member.slot = worker.slot
    _apply_environment(worker.env)
    cluster.become_worker(member)
    sharing.become_worker(member, arbiter.log)
    _ThisProcess.birth = Birth(
        member, ends.connections, list(arbiter.served), worker.heartbeat, worker.notebook, members
    )
    keep_tail(worker.notebook, log_files.loggers_of(arbiter.log))
    under_test.reach("online")
    member.announce_online()
    _note_signals()


def _apply_environment(env: Mapping[str, str | None]) -> None:
    for name, value in env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
