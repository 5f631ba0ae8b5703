"""Give ``cluster`` what its processes share: messages by topic, state, locks and leadership, in every role.

All of it is above this floor, and is loaded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..base.emitter import Emitter

if TYPE_CHECKING:
    from ..sharing.async_store import AsyncStore
    from ..sharing.bus import Bus
    from ..sharing.leader import Leader
    from ..sharing.lock import Lock
    from ..sharing.outcomes import Replies
    from ..sharing.this_process import Sharing

__all__ = ["ClusterSharing"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

_THIS_PROCESS: Final = "nodecluster_compat.sharing.this_process"


class ClusterSharing(Emitter):
    """The members of ``cluster`` that all of its processes share."""

    @property
    def bus(self) -> Bus:
        """Messages by topic, and requests to several; see :class:`~nodecluster_compat.sharing.bus.Bus`."""
        return self._sharing.bus

    def everywhere(
        self, function: Callable[..., Any], *args: Any, timeout: float | None = 30.0, **keywords: Any
    ) -> Replies:
        """Run a function of a module in every worker, this one included, and wait for what they return.

        Args:
            function: found by its module and its name in each of them; it runs beside requests.
            args: what to call it with: what a message can be.
            timeout: seconds above 0; ``None``: as long as those who must answer live.
            keywords: the same by name.

        Returns:
            What it has returned, by the worker's id; ``missing`` says who has not answered, and why.

        Raises:
            ArgumentError: others would not find it by its name, or the time-out is none.
            ChannelClosed: the primary has gone.
            WouldBlock: this code must not wait; in a task write ``await cluster.everywhere_async(...)``.
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        replies: Replies = self._sharing.everywhere.ask(function, args, keywords, timeout)
        return replies

    async def everywhere_async(
        self, function: Callable[..., Any], *args: Any, timeout: float | None = 30.0, **keywords: Any
    ) -> Replies:
        """Run a function in every worker, and await what they return: :meth:`everywhere` for tasks.

        Raises:
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            ClusterError: as :meth:`everywhere`.
        """
        replies: Replies = await self._sharing.everywhere.ask_async(function, args, keywords, timeout)
        return replies

    @property
    def store(self) -> AsyncStore:
        """State that all processes share; see :class:`~nodecluster_compat.sharing.async_store.AsyncStore`."""
        return self._sharing.store

    @property
    def leader(self) -> Leader:
        """Which worker leads the others; see :class:`~nodecluster_compat.sharing.leader.Leader`."""
        return self._sharing.leader

    def every(self, seconds: float, *, name: str | None = None) -> Callable[[Handler], Handler]:
        """Run the decorated function every so many seconds, in the one worker that leads; called with its token.

        Another worker takes over when that one dies or leaves, never two at a time; the time goes on from the last run.
        In a program that no cluster started, and in the primary, nothing runs.

        Args:
            seconds: above 0, from the beginning of one run to the next, which waits for an end that is late.
            name: of the job in the cluster; its module and name if not given.

        Raises:
            ArgumentError: ``seconds`` is no such number, or the function needs more than the token.
            NotInCluster: it is the primary's own code.
        """

        def decorate(function: Handler) -> Handler:
            self._sharing.every(seconds, function, name)
            return function

        return decorate

    def lock(self, name: str, *, lease: float | None = None, timeout: float | None = None) -> Lock:
        """Return a lock that one holder in the cluster has at a time: ``with cluster.lock("report"): ...``.

        Args:
            name: 1 to 255 bytes as UTF-8.
            lease: seconds above 0 after which it is taken away from a holder; ``None``: it ends with its holder alone.
            timeout: seconds, 0 or more, that ``with`` waits for it; ``None``: as long as it takes.

        Raises:
            ArgumentError: one of these is something else.
        """
        return self._sharing.lock(name, 1, lease, timeout)

    def semaphore(self, name: str, places: int, *, lease: float | None = None, timeout: float | None = None) -> Lock:
        """Return a lock that so many holders in the cluster have at a time; otherwise as :meth:`lock`.

        Args:
            name: 1 to 255 bytes as UTF-8.
            places: 1 to 1024; whoever takes it first decides, until it is free again.
            lease: as there.
            timeout: as there.

        Raises:
            ArgumentError: one of these is something else.
        """
        return self._sharing.lock(name, places, lease, timeout)

    @property
    def _sharing(self) -> Sharing:
        sharing: Sharing = import_module(_THIS_PROCESS).sharing
        return sharing
