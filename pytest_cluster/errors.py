"""Define all errors of the plugin, each named by its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Protocol

    class FailedServer(Protocol):
        """The server of a :class:`ServerError`."""

        @property
        def pid(self) -> int:
            """The primary's pid."""

        @property
        def folder(self) -> str:
            """The folder of its files, which is gone after its end."""

        @property
        def log(self) -> str:
            """All that its processes have written, the primary's part first."""


__all__ = [
    "ClusterError",
    "CrashError",
    "FaultError",
    "ForeignRedirect",
    "HookError",
    "InAnotherProcess",
    "LeakError",
    "MissingLibrary",
    "MissingProgram",
    "NotImportable",
    "OptionError",
    "ProcessGone",
    "RedirectLoop",
    "RemoteError",
    "RemoteTraceback",
    "ServerError",
    "ServiceError",
    "StartError",
    "StopError",
    "Unanswered",
    "UncheckedExpectation",
    "UnknownKeyword",
    "WaitTimeout",
]


class ClusterError(Exception):
    """Base of everything that the plugin raises on purpose."""


class OptionError(ClusterError):
    """The marker, the factory or the command line asks for something that cannot be; the test's to fix."""


class UnknownKeyword(OptionError, TypeError):
    """A call has a keyword that there is not; the sentence has the right ones."""


class MissingLibrary(ClusterError, ImportError):
    """A library is not installed that something needs which few tests ask for.

    :param what: needs it.
    :param name: of the package.
    """

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"{what} needs {name}, which is not installed: pip install {name}")


class MissingProgram(ClusterError):
    """A service is not installed that a test has asked for; the sentence says what to install."""


class HookError(ClusterError):
    """A plugin, or a conftest, does not cope with what it is told of a cluster; the sentence says where."""


class ServiceError(ClusterError):
    """A service beside a test's clusters did not come up."""


class ForeignRedirect(ClusterError):
    """A redirect that was to be followed leaves the cluster."""


class RedirectLoop(ClusterError):
    """Redirects that were to be followed do not end."""


class InAnotherProcess(ClusterError):
    """A test looks at something of its own process that is in the workers only."""


class ServerError(ClusterError):
    """Base of the errors of a server as a whole.

    Attributes:
        server: the one that is wrong; ``None`` where it did not come to be.
    """

    def __init__(self, text: str, server: FailedServer | None = None) -> None:
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


class Unanswered(NamedTuple):
    """The processes that may have a request that a cluster has not answered.

    Attributes:
        primary_pid: of the cluster.
        holders: in words, who had requests or was stopped; empty when nobody was.
        signs: in words, what else may be why: loops that stood still lately, faults that the test has injected.
    """

    primary_pid: int
    holders: str
    signs: str

    def __str__(self) -> str:
        return self.holders or "; ".join(filter(None, ["no worker has begun it", self.signs]))


class WaitTimeout(ClusterError, TimeoutError):
    """What a test waited for did not happen; the message says what did.

    Attributes:
        unanswered: of a request, who has it; ``None`` of anything else.
    """

    def __init__(self, text: str, unanswered: Unanswered | None = None) -> None:
        super().__init__(text)
        self.unanswered = unanswered


class UncheckedExpectation(ClusterError):
    """A test expected something and never checked whether it came: ``expect`` without a ``with`` statement.

    :param wanted: what was expected.
    """

    def __init__(self, wanted: str) -> None:
        super().__init__(
            f"{wanted} was expected and nobody checked whether it came: expect() checks at the end of a with block, "
            "so write `with cluster.expect(…):` around what brings it about"
        )


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
