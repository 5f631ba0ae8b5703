"""Define every exception of the package, named by its cause.

``ClusterError`` is the common base, of all but one.  The name says whose doing it was: *Closed* means this side ended
the thing, *Broken* means the other side or the machine did.  ``InternalError`` is always a bug of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import errorcode
from typing import Any, Final

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "ChannelBroken",
    "ChannelClosed",
    "ChannelFull",
    "ClusterError",
    "ConfigurationNotLoaded",
    "FrameError",
    "HandleNotPassable",
    "IllegalTransition",
    "InternalError",
    "KeyTooLong",
    "ListenError",
    "LockLost",
    "LockNotAcquired",
    "MessageNotSerializable",
    "MessageTooLarge",
    "NotInCluster",
    "OrderRefused",
    "PathTaken",
    "RequestFailed",
    "RequestTimedOut",
    "ServerAlreadyListening",
    "ServerNotRunning",
    "SettingsError",
    "SocketNotRunning",
    "StoreCorrupt",
    "StoreFull",
    "StoreUnavailable",
    "TimeLimitExceeded",
    "WorkerGone",
    "WouldBlock",
]


class ClusterError(Exception):
    """Base of every error that this package raises, but :class:`TimeLimitExceeded`.

    Attributes:
        code: Node's name for it, as ``"ERR_IPC_CHANNEL_CLOSED"``; ``None`` for what Node does not know.
    """

    code: str | None = None


class InternalError(ClusterError):
    """A broken invariant of nodecluster-compat itself: please report it."""


class IllegalTransition(ClusterError):
    """A lifecycle was asked for a move that its table does not have; the state is unchanged."""


class NotInCluster(ClusterError, RuntimeError):
    """The call needs a running cluster, or the other role, and this process has neither."""


class OrderRefused(ClusterError, ValueError):
    """What an operator asked for cannot be done; the sentence says why, and nothing has happened."""


class PathTaken(ClusterError, OSError):
    """The path of a socket is somebody else's; nothing has changed.

    Args:
        path: which.
        holder: the pid of the process that listens there; 0 where it is not known.
        what: what is there, if it is no server.
    """

    def __init__(self, path: str, holder: int, what: str | None = None) -> None:
        self.path = path
        self.holder = holder
        by = what or (f"the server with pid {holder}" if holder else "another server")
        super().__init__(f"expected nobody to listen on {path}, found {by}")


class SettingsError(ClusterError, ValueError):
    """Settings that cannot work, alone or together; the sentence says which and what to use instead."""


class ConfigurationNotLoaded(ClusterError):
    """A reload's configuration cannot be used; the former one is in force, all of it."""


class ChannelClosed(ClusterError):
    """The channel is closed, so nothing can be sent any more (Node: ``ERR_IPC_CHANNEL_CLOSED``)."""

    code = "ERR_IPC_CHANNEL_CLOSED"


class ChannelBroken(ClusterError):
    """The peer closed or lost the channel while this side still used it (Node: ``EPIPE``)."""

    code = "EPIPE"
    syscall = "write"


class ChannelFull(ClusterError):
    """The peer reads too slowly: the bytes waiting on this channel have reached their bound."""


class MessageNotSerializable(ClusterError, TypeError):
    """The message holds something that JSON cannot carry.  Nothing was sent."""


class MessageTooLarge(ClusterError, ValueError):
    """The encoded message is over the limit of one message.  Nothing was sent."""


class RequestFailed(ClusterError):
    """The other side answered a request by ``reply.fail(reason)``; the sentence ends with its reason."""


class RequestTimedOut(ClusterError, TimeoutError):
    """Nobody answered a request within its time-out: nothing listens for ``request`` there, or it takes too long.

    Args:
        sentence: what was expected.
        answers: those that came, by the id of the worker, where several were asked.
    """

    def __init__(self, sentence: str = "", answers: Mapping[int, Any] | None = None) -> None:
        super().__init__(sentence)
        self.answers: Mapping[int, Any] = answers or {}


class TimeLimitExceeded(BaseException):
    """A request has taken longer than it may (``request_timeout``); raised where its greenlet waits.

    Whoever catches it can still answer.  It is no ``Exception``, so that ``except Exception`` of an application does
    not take it for an error of its own, and therefore no ``ClusterError`` either.

    Args:
        request: its method and path.
        seconds: that it may take.
    """

    def __init__(self, request: str, seconds: float) -> None:
        self.request = request
        self.seconds = seconds
        super().__init__(f"{request} took longer than {seconds:g} s")


class WorkerGone(ClusterError):
    """A worker that should have answered has ended, or there is no worker of that id."""


class LockNotAcquired(ClusterError, TimeoutError):
    """A lock, or a place of a semaphore, did not become free in time."""


class LockLost(ClusterError):
    """A lock's lease ended while it was held: somebody else may have it; its fencing token says who came later."""


class StoreUnavailable(ClusterError):
    """There is no shared store here: its engine is not installed, or the place where it lives cannot be used."""


class StoreFull(ClusterError):
    """A value or a durable message does not fit where it is to be kept, whatever may be evicted for it."""


class StoreCorrupt(ClusterError):
    """What lies in the shared store is not what was put there; the sentence says what has become of it."""


class KeyTooLong(ClusterError, ValueError):
    """A key of the shared store has more bytes than a key may have; nothing has happened."""


class WouldBlock(ClusterError, RuntimeError):
    """A call that waits, made where nothing may wait: in a handler of the primary, whose loop deals connections."""


NO_EVENT_LOOP: Final = (
    "expected a worker with an event loop, which only ASGIWorker is: write process.send() or process.request() here"
)
"""Said by a worker that has nothing to await with."""


class FrameError(ClusterError):
    """The bytes on a channel are not frames of this protocol."""


class ArgumentError(ClusterError, ValueError):
    """An argument that no call can work with; the sentence names it and says what was expected."""

    code = "ERR_INVALID_ARG_VALUE"


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of a type that no call can work with; the sentence says what was expected."""

    code = "ERR_INVALID_ARG_TYPE"


class HandleNotPassable(ClusterError, TypeError):
    """What was given as handle is no socket or server that another process could take.  Nothing was sent."""

    code = "ERR_INVALID_HANDLE_TYPE"


class ServerAlreadyListening(ClusterError):
    """``listen()`` on a server that listens (Node: ``ERR_SERVER_ALREADY_LISTEN``)."""

    code = "ERR_SERVER_ALREADY_LISTEN"


class ServerNotRunning(ClusterError):
    """``close()`` on a server that does not listen (Node: ``ERR_SERVER_NOT_RUNNING``)."""

    code = "ERR_SERVER_NOT_RUNNING"


class SocketNotRunning(ServerNotRunning):
    """A UDP socket that was closed is to do something (Node: ``ERR_SOCKET_DGRAM_NOT_RUNNING``)."""

    code = "ERR_SOCKET_DGRAM_NOT_RUNNING"


class ListenError(ClusterError, OSError):
    """A socket could not be bound, or could not listen (Node: the ``error`` event of a server).

    Args:
        number: the system's error number.
        syscall: ``"bind"`` or ``"listen"``: Node says ``bind`` where the primary binds for a worker.
        address: the IP address or path that was asked for.
        port: the port that was asked for; ``None`` for a path.

    Attributes:
        code: the error's name, as in Node: ``"EADDRINUSE"``, ``"EACCES"``, ...
    """

    def __init__(self, number: int, syscall: str, address: str | None = None, port: int | None = None) -> None:
        self.code: str = errorcode.get(number, f"E{number}")
        self.syscall = syscall
        self.address = address
        self.port = port
        where = "" if address is None and port is None else f" {address or 'any address'}"
        super().__init__(number, f"{syscall} {self.code}{where}{'' if port is None else f':{port}'}")
