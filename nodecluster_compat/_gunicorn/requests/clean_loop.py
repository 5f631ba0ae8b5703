"""Choose which connections the loop of clean requests serves, and make what serves them (:mod:`clean_connection`)."""

from __future__ import annotations

from inspect import getattr_static
from logging import DEBUG
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from gevent import get_hub, getcurrent
from gunicorn.http import wsgi

from ...base.native import Choice, Native, in_force
from ...gevent_runtime.client_gone import KEY, ClientGone, client_watch
from ...gevent_runtime.client_socket import ClientSocket, switch_to
from .body_reader import KnownBody, NoBody
from .clean_connection import CleanConnection
from .clean_reader import CleanReader
from .environs import Environs
from .own_variables import own_variables
from .reading_connection import MOST_AT_ONCE
from .request_waits import tell_waits
from .responses import AnsweredApplication, CleanResponse
from .ways import Way, is_read_here, may_change_requests, way_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...gevent_runtime.idle_limit import IdleLimit
    from ..gunicorn_types import GunicornLog, RequestWait, Settings
    from .access_log import AccessLog
    from .metering import Metering
    from .served_listener import AnyListener

__all__ = ["CleanLoop", "CleanWorker", "use_clean_loop"]

_OURS: Final = "nodecluster_compat."


class CleanWorker(Protocol):
    """gunicorn's worker object, as the loop sees it."""

    cfg: Settings
    log: GunicornLog
    alive: bool
    nr: int
    max_requests: int
    wsgi: Callable[..., Any]

    @property
    def metering(self) -> Metering:
        """Counts its requests."""

    def is_already_handled(self, respiter: object) -> bool:
        """Whether the application has answered by itself; gunicorn's."""


class CleanLoop:
    """Holds what the connections of one worker, or of one server in a script, have in common.

    Args:
        worker: whose application is called.
        environs: of this process.
        waits: is told of every wait for a request.
        access_log: of this process.
        choice: C or Python; what is in force unless it is said.

    Attributes:
        cfg: its settings.
        reader: reads them.
        meter: counts them.
        response: the class of the responses.
        turns: what the connections share where C serves them; ``None``: Python does.
        kind: the class of the connections.
    """

    def __init__(
        self,
        worker: CleanWorker,
        environs: Environs,
        waits: IdleLimit,
        access_log: AccessLog,
        choice: Choice | None = None,
    ) -> None:
        choice = in_force() if choice is None else choice
        self.worker = worker
        self.cfg = worker.cfg
        self.environs = environs
        self.waits = waits
        self.reader = CleanReader(worker.cfg, choice, may_be_changed=may_change_requests(worker.cfg, worker))
        self.response = CleanResponse.of(worker.cfg, worker, choice)
        self.meter = worker.metering.meter
        self.access_log = access_log if access_log.is_on else None
        self._serves = way_of(worker.cfg, worker.log, worker) is Way.LOOP
        self.turns: Any = None
        self.kind: type[CleanConnection] = CleanConnection
        if choice.module is not None and self._serves and environs.variables is not None:
            self._serve_in_c(choice.module)
        self._begins = not worker.cfg.is_ssl and getattr(worker.cfg, "http2_cleartext", "off") == "off"

    def _serve_in_c(self, native: Native) -> None:
        """Let connections be served in C, as far as they can."""
        hints: Any = self.environs.hints
        same = {"cfg": self.cfg, "_common": self}  # as in each that Python makes
        self.kind = type("CleanConnection", (native.CleanTurn, CleanConnection), same)
        self.turns = native.Turns(
            heads=self.reader.heads,
            answers=self.response.answers,
            response=self.response,
            worker=self.worker,
            alive=_aliveness_of(type(self.worker)),
            begin=self.meter.begin,
            end=self.meter.end,
            access_log=self.access_log,
            variables=self.environs.variables,
            hints=None if hints is None else hints(None),
            errors=wsgi.WSGIErrorsWrapper,
            cfg=self.cfg,
            no_body=NoBody,
            known_body=KnownBody,
            gone=ClientGone,
            key=KEY,
            current=getcurrent,
            hub_of=get_hub,
            switch=switch_to,
            watch=client_watch.add_stream,
            unwatch=client_watch.remove,
            waits=self.waits,
            bases=self.environs.bases,
            is_timed=bool(self.cfg.keepalive),
            most=MOST_AT_ONCE,
        )

    @property
    def application(self) -> Callable[..., Any]:
        """What answers a request: without what stands before it where gunicorn calls it."""
        called = self.worker.wsgi
        return called.application if type(called) is AnsweredApplication else called

    def connect(
        self,
        listener: AnyListener,
        client: Any,  # noqa: ANN401 - a socket of any kind
        peer: object,
        slot: int,
        *,
        is_known: bool = True,
    ) -> CleanConnection:
        """Return what serves a connection; ``slot`` is that of its meter, by which it is known what is in flight."""
        serves = self._serves and is_known and not self.worker.log.error_log.isEnabledFor(DEBUG)
        return self.kind(self, listener.getsockname(), client, peer, slot, serves)

    def begins(self, client: object) -> bool:
        """Whether a connection begins in the loop, not in gunicorn's ``handle``."""
        return self._begins and type(client) is ClientSocket

    @property
    def begins_in_c(self) -> bool:
        """Whether a client's connection may begin in C."""
        return self._begins and self.turns is not None


def _aliveness_of(kind: type) -> str:
    """Return which attribute C reads to see whether a worker is alive: where our property is, the one behind it."""
    alive: Any = getattr_static(kind, "alive", None)
    is_ours = type(alive) is property and str(getattr(alive.fget, "__module__", None)).startswith(_OURS)
    return "_alive" if is_ours else "alive"


class _ThisProcess:
    environs: ClassVar[Environs | None] = None


def use_clean_loop(
    worker: CleanWorker, waits: IdleLimit, access_log: AccessLog
) -> tuple[CleanLoop | None, RequestWait]:
    """Serve clean requests in the loop from now on, in this process, if the settings allow it.

    Args:
        worker: whose application is called.
        waits: is told of every wait for a request, in the loop or in gunicorn.
        access_log: of this process.

    Returns:
        The loop, and the context manager in which gunicorn is to wait for a request.
    """
    wait = tell_waits(worker.cfg, waits)
    if not is_read_here(worker.cfg):
        return None, wait
    if _ThisProcess.environs is None:
        _ThisProcess.environs = Environs(worker.cfg, wsgi.create, own_variables())
        wsgi.create = _ThisProcess.environs.create
    return CleanLoop(worker, _ThisProcess.environs, waits, access_log), wait
