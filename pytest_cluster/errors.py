"""All errors of the plugin, named by their cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .requests.unanswered import Unanswered
    from .server.launcher import ServerProcess

__all__ = [
    "ClusterError",
    "CrashError",
    "FaultError",
    "LeakError",
    "NotImportable",
    "OptionError",
    "ProcessGone",
    "RemoteError",
    "RemoteTraceback",
    "ServerError",
    "StartError",
    "StopError",
    "WaitTimeout",
]


class ClusterError(Exception):
    """Base of everything that the plugin raises on purpose."""


class OptionError(ClusterError):
    """The marker, the factory or the command line asks for something that cannot be; the test's to fix."""


class ServerError(ClusterError):
    """Base of what is wrong with a server as a whole.

    Attributes:
        server: whose journal and logs tell more; ``None`` where it did not come to be.
    """

    def __init__(self, text: str, server: ServerProcess | None = None) -> None:
        super().__init__(text)
        self.server = server


class StartError(ServerError):
    """The server ended, or did not get all its workers to listen in time; its log is in the message."""


class CrashError(ServerError):
    """The primary ended by itself, and not with exit code 0, during a test that passed."""


class StopError(ServerError):
    """The server did not end in time when asked and had to be killed."""


class LeakError(ServerError):
    """Processes of the cluster were left after its primary had ended; they have been killed."""


class WaitTimeout(ClusterError, TimeoutError):
    """What a test waited for did not happen; the message says what did.

    Attributes:
        unanswered: of a request, who has it; ``None`` of anything else.
    """

    def __init__(self, text: str, unanswered: Unanswered | None = None) -> None:
        super().__init__(text)
        self.unanswered = unanswered


class ProcessGone(ClusterError):
    """A process that was asked for something has ended, or is of a class that cannot be asked."""


class NotImportable(ClusterError):
    """A function has no name by which a worker can find it."""


class FaultError(ClusterError):
    """A fault was asked for that cannot be injected as asked."""


class RemoteError(ClusterError):
    """A function in another process raised something, or returned something, that cannot be brought over."""


class RemoteTraceback(Exception):
    """The traceback of the other process, as the cause of an exception from there (as in ``concurrent.futures``)."""
