"""Hold this process' part of the sharing: its role (worker, primary, a program by itself) and what it shares.

One object for each process: the subscriptions, the side that leads to the exchange, and ``cluster.bus`` and the others
before it.  A fork changes where it stands, and keeps what a preloaded application has subscribed to.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from ..base.handler_calls import Origin, current_origin
from ..errors import ClusterError, NotInCluster
from ..machine.state_folder import StateFolder
from ..roles.requests import Reply
from .async_store import AsyncStore
from .bus import Asked, Bus
from .direct_side import DirectSide
from .durable import Durables
from .engines import store_engine
from .everywhere import Everywhere
from .exchange import Exchange
from .groups import Groups
from .leader import Job, Leader, checked_period
from .lock import Lock
from .lock_desk import Unlock
from .losses import Losses
from .once import Onces
from .outcomes import Failure
from .posts import PrimaryPost
from .remote import Remote
from .sides import Side
from .standalone import standalone_side
from .subscriptions import Subscribers, Subscription
from .topics import checked_topic
from .verbs import Caller, Returning, Verbs
from .wire import decode, encode
from .worker_side import WorkerSide

if TYPE_CHECKING:
    from ..base.log import Log
    from ..roles.primary import Primary
    from ..roles.this_worker import ClusterWorker

__all__ = ["Sharing", "sharing"]

_OWN_LOG = logging.getLogger("nodecluster_compat")


class Sharing:
    """This process' part in the sharing.

    Attributes:
        bus: see :class:`~nodecluster_compat.sharing.bus.Bus`.
        store: see :class:`~nodecluster_compat.sharing.async_store.AsyncStore`.
        durables: what this process does with durable messages.
        leader: see :class:`~nodecluster_compat.sharing.leader.Leader`.
        losses: told of messages that were lost.
        everywhere: see :meth:`~nodecluster_compat.roles.cluster.Cluster.everywhere`.
        groups: see :class:`~nodecluster_compat.sharing.groups.Groups`.
        verbs: what the exchange can ask of this process; a door for capabilities.
        subscribers: who here has subscribed to what.
        log: told what goes wrong.
    """

    def __init__(self) -> None:
        self.bus = Bus(self)
        self.losses = Losses(self._later, self._tell_lost)
        self.subscribers = Subscribers(self._want, self.losses.count)
        self.verbs = Verbs()
        self.everywhere = Everywhere(self, self.verbs, self.bus.asking)
        self._side: Side | None = None
        self._for_workers: list[Subscription] = []  # of a preloaded application
        self._is_own: Callable[[Origin], bool] | None = None
        self._member: ClusterWorker | None = None
        self.remote = Remote(self, self.verbs)
        self.leader = Leader(self, self.verbs, self.remote.mandate)
        self.store = AsyncStore(
            partial(store_engine, self._state_folder, self._give, self._check_waiting, lambda: self.log),
            lambda: self.side.waiting,
        )
        self.durables = Durables(self, lambda: self.remote.host, self._check_waiting, self._check_for_workers)
        self._folder: StateFolder | None = None
        self.onces = Onces(self, self.remote.onces)
        self.groups = Groups(self, self.verbs)
        self.log: Log = _OWN_LOG
        self.verbs.on("lapsed", Unlock, lambda *_: None)  # the holder of a lock knows by its own clock
        self.verbs.on("asked", Asked, self._asked)
        self.verbs.on("broadcast", Raw, self._broadcast)

    @property
    def member(self) -> ClusterWorker | None:
        """This worker; ``None`` in other processes."""
        return self._member

    @property
    def side(self) -> Side:
        """Where this process stands; a program of its own from when it first asks."""
        if self._side is None:
            side = standalone_side(self.subscribers, self.verbs, _OWN_LOG)
            self._announce(side)
            self._side = side
        return self._side

    # --- where this process stands -------------------------------------------------------------

    def become_primary(
        self,
        primary: Primary,
        exchange: Exchange,
        folder: StateFolder,
        log: Log,
        is_own: Callable[[Origin], bool],
    ) -> None:
        """Become a primary's part.

        Args:
            primary: that.
            exchange: its own.
            folder: where its state is.
            log: told of slow handlers.
            is_own: whether what was registered from there is the primary's, not that of a preloaded application.
        """
        post = PrimaryPost(primary)
        self._is_own = is_own
        self.log = log
        self.store.leave()
        self.remote.become_host()
        self._folder = folder
        self._for_workers += self.subscribers.remove_where(lambda one: not is_own(one.origin))
        side = self._side = DirectSide(exchange, post, post, self.subscribers, self.verbs, log)
        self._announce(side)

    def become_worker(self, member: ClusterWorker, log: Log) -> None:
        """Become a worker's part: this process has just been forked."""
        self.store.leave()
        self.log = log
        self._side = self._is_own = None
        self.losses = Losses(self._later, self._tell_lost)
        self.subscribers = Subscribers(self._want, self.losses.count)
        self.groups.abandon()
        self._member = member
        self._side = WorkerSide(member, self.subscribers, self.verbs, log, self.losses.count)
        kept, self._for_workers = self._for_workers, []
        self.subscribers.add(kept)
        member.when_attached += [
            self.leader.attached,
            self.onces.attached,
            partial(self.remote.attached, self.leader),
            self.durables.attached,
        ]
        member.when_closed.append(self.leader.closed)

    def abandon(self) -> None:
        """In a forked child that is none of the cluster's: what it asks for is its own affair."""
        self._side = self._is_own = self._member = None
        self._for_workers.clear()
        self.groups.abandon()
        self.durables.leave()
        self.subscribers = Subscribers(self._want)

    def _announce(self, side: Side) -> None:
        for pattern in self.subscribers.patterns:
            side.want(pattern, True)

    def _later(self, seconds: float, call: Callable[[], None]) -> bool:
        """Call back on this process' loop, if it has one."""
        if self._member is None:
            call()
            return True
        runtime: Any = self._member.runtime
        if runtime is not None:
            runtime.call_later(seconds, call)
        return runtime is not None

    def _tell_lost(self, counts: Mapping[str, int]) -> bool:
        try:
            self.side.call("lost", encode(dict(counts)), None)
        except ClusterError:  # the channel is closed, so this worker ends
            return False
        return True

    def _state_folder(self) -> str:
        """Return where the state of this cluster is: in a worker it tells the primary that it is used."""
        if self._folder is None:
            self._folder = StateFolder()
            self._folder.hold()
            atexit.register(self._leave_own, self._folder)
        elif self._member is not None:
            self.side.call("folder", encode(None), None)
        else:
            self._folder.hold()
        return self._folder.make()

    def _give(self, path: str) -> None:
        if self._folder is not None and self._member is None:
            self._folder.give(path)

    def _check_waiting(self) -> None:
        """Let nobody wait for a server who holds up others.

        Raises:
            WouldBlock: this is the loop of a primary.
        """
        if isinstance(self._side, DirectSide):
            self._side.check_waiting()

    def _leave_own(self, folder: StateFolder) -> None:
        self.store.leave()
        folder.leave()

    # --- subscriptions -------------------------------------------------------------------------

    def subscribe(self, pattern: str, handler: Callable[..., Any]) -> Subscription:
        """Subscribe here, or in the workers to come if an application is preloaded."""
        subscription = Subscription(pattern, handler, self.subscribers)
        if self._is_own is not None and not self._is_own(subscription.origin):
            self._for_workers.append(subscription)
        else:
            with self._lock:
                self.subscribers.add([subscription])
        return subscription

    # --- locks, and what one worker does -------------------------------------------------------

    def lock(self, name: str, places: int, lease: float | None, timeout: float | None) -> Lock:
        """Return a lock that is not held yet."""
        return Lock(lambda: self.side, name, places, lease, timeout, self.remote.locks)

    def every(self, seconds: float, function: Callable[..., Any], name: str | None) -> None:
        """Run a function in the worker that leads."""
        self._check_for_workers("cluster.every()")
        key = name or f"{function.__module__}:{getattr(function, '__qualname__', function)!s}"
        self.leader.add(Job(checked_topic(key, "the name of a job"), checked_period(seconds), function))

    def once(self, key: str, function: Callable[..., Any]) -> None:
        """Run a function in one worker."""
        self._check_for_workers("cluster.once()")
        self.onces.add(key, function)

    def _check_for_workers(self, what: str) -> None:
        if self._is_own is not None and self._is_own(current_origin()):
            raise NotInCluster(
                f"{what} with a function is for workers: write it in the application, not in the primary"
            )

    # --- files that are executed again ---------------------------------------------------------

    def forget(self, origin: Origin) -> list[Subscription]:
        """End the subscriptions of a file that is executed again; return them for :meth:`recall`."""
        self.durables.forget(origin)
        self._for_workers = [one for one in self._for_workers if one.origin != origin]
        return self.subscribers.remove_where(lambda one: one.origin == origin)

    def recall(self, forgotten: list[Subscription]) -> None:
        """Put back what :meth:`forget` has ended."""
        self.subscribers.add(forgotten)

    @property
    def _lock(self) -> AbstractContextManager[object]:
        if self._side is None or (self.member is not None and self.member.runtime is None):
            return nullcontext()
        return self._side.post.lock

    def _want(self, pattern: str, is_wanted: bool) -> None:
        if self._side is not None:
            self._side.want(pattern, is_wanted)

    # --- what others ask of this process -------------------------------------------------------

    def _broadcast(self, _: Caller, message: Raw, __: Returning) -> None:
        if self.member is not None:
            self.member.receive_packed(bytes(message))

    def _asked(self, _: Caller, asked: Asked, returning: Returning) -> None:
        if asked.topic is not None:
            body = bytes(asked.message)
            if not self.subscribers.deliver(asked.topic, body, self.side.post, self.log, returning):
                returning.failure(Failure("failed", f"nobody subscribes to {asked.topic!r} here any more"))
            return
        member = self.member
        if member is None or not member.hears_requests():
            returning.failure(Failure("failed", "nobody listens for 'request' here"))
            return
        member.tell_request(decode(asked.message), Reply(partial(_reply, returning)))


def _reply(returning: Returning, is_met: bool, value: object) -> bool:
    if is_met:
        returning.value(value)
    else:
        returning.failure(Failure("failed", f"the worker answered that it cannot: {value}"))
    return True


sharing = Sharing()
