"""Define how a process is connected with the exchange: over its channel, or directly where that is in this process.

a worker:                    WorkerSide ──frames──▶ exchange in the primary
the primary:                 DirectSide ──calls───▶ exchange, on the primary's loop
a program without a cluster: DirectSide ──calls───▶ an exchange of its own, in the caller's thread
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from ..base.log import Log
from ..errors import NotInCluster
from .outcomes import Done
from .subscriptions import Post

if TYPE_CHECKING:
    from ..roles.this_worker import ClusterWorker
    from ..roles.worker_runtime import Runtime
    from .losses import Losses

__all__ = ["MOST_UNREAD_BYTES", "Around", "Begin", "Side", "running"]

MOST_UNREAD_BYTES: Final = 16 * 1024 * 1024
"""What may wait on a channel for a process that does not read; what is published beyond that is dropped and counted."""

Begin = Callable[[Callable[[], None]], None]


class Side(Protocol):
    """The side on which this process takes part in the sharing."""

    @property
    def id(self) -> int:
        """The worker's id; 0 elsewhere."""

    @property
    def post(self) -> Post:
        """How handlers are called here."""

    def publish(self, topic: str, body: bytes) -> bool:
        """Publish an encoded message; return whether it is on its way."""

    async def ease(self) -> None:
        """Await that what was published has been read, where much of it waits."""

    def want(self, pattern: str, is_wanted: bool) -> None:
        """Somebody here wants what matches a pattern, or nobody does any more."""

    def tell(self, verb: str, body: bytes, eases: bool = False) -> bool:
        """Call a verb that wants no answer, as much of it as may come; return whether it is on its way.

        Args:
            verb: of the exchange.
            body: the arguments, encoded.
            eases: whether this code is held up, if it may wait, while much waits for the exchange.

        Raises:
            MessageTooLarge: nothing was sent.
        """

    def call(self, verb: str, body: bytes, done: Done | None) -> None:
        """Call a verb of the exchange; ``done`` hears what came of it, the value still encoded, with the lock held.

        Without ``done`` it is sent however much waits: for what is rare, and must not be lost.

        Raises:
            MessageTooLarge, ChannelFull: nothing was sent.
        """

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """Call code of the user's on a later turn."""

    def wait(self, begin: Begin) -> None:
        """See :meth:`~nodecluster_compat.roles.worker_runtime.Runtime.wait`."""

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """See :meth:`~nodecluster_compat.roles.worker_runtime.Runtime.waiting`."""


class Around(Protocol):
    """The sharing around a capability, as the capability needs it."""

    @property
    def member(self) -> ClusterWorker | None:
        """This worker; ``None`` in other processes."""

    @property
    def side(self) -> Side:
        """Where this process stands."""

    @property
    def log(self) -> Log:
        """Told what goes wrong."""

    @property
    def losses(self) -> Losses:
        """Told of messages that were lost."""


def running(member: ClusterWorker) -> Runtime:
    """Return the kind of worker that this one is.

    Raises:
        NotInCluster: it does not run yet.
    """
    if member.runtime is None:
        raise NotInCluster("expected a worker that runs, and this one is not up yet")
    return member.runtime
