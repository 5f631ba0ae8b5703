"""Call functions in a process of the cluster, and take its stacks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar, overload

from ..errors import ProcessGone, WaitTimeout
from ..server.server_process import ServerProcess
from ..values import Pickled
from ..waiting import evidence, scaled
from ..wire.records import Outcome
from ..wire.remote import function_record, value_of

__all__ = ["ProcessProxy", "ask_process"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

CALL_SECONDS = 10.0


def ask_process(
    server: ServerProcess, pid: int, title: str, operation: str, arguments: object = None, timeout: float | None = None
) -> Outcome:
    """Ask the agent in the process *pid* for something, and return how that ended there.

    :param title: what messages call the process.
    :param timeout: seconds to wait for the answer (default: 10).
    :raises ProcessGone: the process has ended, or ended meanwhile.
    :raises WaitTimeout: there was no answer; the stacks of all processes are in the message.
    """
    seconds = scaled(CALL_SECONDS) if timeout is None else timeout
    try:
        return server.control.call(pid, operation, arguments, timeout=seconds)
    except WaitTimeout as error:
        raise WaitTimeout(evidence(f"{title}: {error}", server.stacks())) from None
    except ProcessGone as error:
        raise ProcessGone(f"{title}: {error}") from None


class ProcessProxy:
    """A process of the cluster, which a test can call and examine."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        """The process id, which stays readable after its end."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    @overload
    def run(self, function: Callable[..., T], *args: object, timeout: float | None = ..., **kwargs: object) -> T: ...
    @overload
    def run(self, function: str, *args: object, timeout: float | None = ..., **kwargs: object) -> Pickled: ...
    def run(
        self, function: Callable[..., object] | str, *args: object, timeout: float | None = None, **kwargs: object
    ) -> Pickled:
        """Call *function* in that process and return what it returns.

        In a worker it runs beside the requests, in a greenlet of its own; in the primary between two events, and
        while it runs no connection is dealt.

        :param function: importable there by its name, or at the top level of the test's file; with ``cloudpickle``
            installed, any function.
        :param timeout: seconds to wait for it (default: 10).
        :raises NotImportable: the process cannot find *function*.
        :raises WaitTimeout: it took longer; the stacks of the process are in the message.
        :raises ProcessGone: the process has ended, or ended meanwhile.
        :raises RemoteError: its result, or its exception, cannot be brought over.
        :raises Exception: what *function* has raised, with the traceback from there as its cause.
        """
        record = function_record(function)
        where = f"{record.module}.{record.name} in {self.title}"
        return value_of(self._outcome("run", (record, args, kwargs), timeout), where)

    def stacks(self) -> str:
        """Return the stacks of its threads and greenlets, however stuck it is; of a dead process, how it ended."""
        try:
            self.check_alive()
        except ProcessGone as error:
            return f"({error})"
        return next((text for title, text in self._server.stacks() if f"(pid {self.pid})" in title), "(no answer)")

    def ask(self, operation: str, arguments: object = None, timeout: float | None = None) -> Pickled:
        """Ask the agent in that process; for the plugin's own use."""
        return value_of(self._outcome(operation, arguments, timeout), f"{operation} in {self.title}")

    def check_alive(self) -> None:
        """Refuse what only a living process can do.

        :raises ProcessGone: it has ended; the sentence says how.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Run a block that reaches the process by its pid.

        :raises ProcessGone: it has ended, and its primary has had no time to say so.
        """
        try:
            yield
        except (ProcessLookupError, FileNotFoundError):
            raise ProcessGone(f"{self.title} (pid {self.pid}) has ended just now") from None

    def _outcome(self, operation: str, arguments: object, timeout: float | None) -> Outcome:
        self.check_alive()
        return ask_process(self._server, self.pid, self.title, operation, arguments, timeout)
