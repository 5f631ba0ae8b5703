"""Say what a kind of worker adds to what all workers of a cluster do: the engine, and which applications it serves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from ... import under_test
from ...base.log import Log
from ...base.records import NO_LOAD, Load
from ...routing.issued_wsgi import issued_wsgi
from .interfaces import refuse_asgi

if TYPE_CHECKING:
    from gunicorn.workers.base import Worker as _Base

    from ...roles.worker_runtime import Runtime
    from ...routing.issued import IssuingKey
    from ..arbiter.birth import Birth
    from ..gunicorn_types import GunicornLog, Settings
    from .connection_source import ConnectionSource
    from .drained_connections import Connections
    from .membership import Membership
    from .under_test import Examined
else:
    _Base = object  # the real base is one of gunicorn's worker classes, behind this one

__all__ = ["WorkerKind"]


class WorkerKind(_Base):  # type: ignore[misc]  # gunicorn has no type hints
    """The parts that each kind of worker has of its own.

    Attributes:
        awaits_handlers: whether there is an event loop, so that handlers may be ``async def`` functions.
        engine: what an examination of the worker shows of it.
        connections: for the drain.
        foreign_settings: what is for other kinds, by name.
    """

    is_cluster_worker = True
    awaits_handlers = False

    cfg: Settings
    log: GunicornLog
    nr: int
    timeout: float

    foreign_settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    engine: Examined
    connections: Connections

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """In the primary, before the first fork: import what every worker needs, say what cannot go well."""
        raise NotImplementedError

    def make_runtime(self) -> Runtime:
        """Return the runtime; signal handlers exist from now on."""
        raise NotImplementedError

    def make_source(self, birth: Birth, membership: Membership) -> ConnectionSource:
        """Return where the connections come from: dealt by the primary, or accepted here."""
        raise NotImplementedError

    def wrap(self, application: Any) -> Any:  # noqa: ANN401 - of whatever interface
        """Return the application as it is served under test, or as it is.

        Raises:
            AppImportError: it is of the other interface.
        """
        refuse_asgi(application)
        return under_test.wrap(application)

    def issue(self, application: Any, keys: list[IssuingKey], worker_id: int) -> Any:  # noqa: ANN401 - as above
        """Return the application with what ``keys`` put into its answers."""
        return issued_wsgi(application, keys, worker_id)

    def make_ready(self) -> None:
        """The application is loaded, and connections come soon."""

    def finish_background(self, seconds: float) -> int:
        """Wait for what the application runs after its answers; return how much of it has not ended by then."""
        return 0

    def end_application(self, seconds: float) -> None:
        """No connection is left: end what else the application runs, within so many seconds."""

    def load(self) -> Load:
        """Return how busy its threads are, where it has any."""
        return NO_LOAD

    def interrupted(self) -> None:
        """In a signal handler of the main thread, wherever that is: called by the signal for last words."""

    def wait(self, seconds: float) -> None:
        """Let the engine run until :meth:`wake` is called, at most ``seconds``."""
        raise NotImplementedError

    def wake(self) -> None:
        """End :meth:`wait`; may be called before it, anywhere, also in a signal handler."""
        raise NotImplementedError

    def throw(self, error: BaseException) -> None:
        """Raise ``error`` in the main greenlet or thread, soon, whatever it does by then."""
        raise NotImplementedError

    def end_caller(self, code: int) -> None:
        """End what has called ``process.exit()``, of which :meth:`throw` was told."""
        raise NotImplementedError
