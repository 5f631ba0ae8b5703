"""Ask other workers about their clients, and answer what they ask.

    ask · answer    a question about clients, or an event for the servers, with a number; see ``questions``

Nobody guesses who could answer: the primary says who takes part, in order with what is told, so a worker that dies is
not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..base.arguments import checked_callable
from ..errors import ArgumentError, MessageNotSerializable, MessageTooLarge, RequestFailed, RequestTimedOut
from ..roles.requests import checked_request_timeout
from ..sharing.group_desk import ALL_OTHERS
from .questions import Answers, Ended, Questions
from .records import RemoteSocket
from .wire import Told

if TYPE_CHECKING:
    from .group_seat import GroupSeat, Put

__all__ = ["SECONDS", "AskedWorkers", "only_value", "told_rooms", "whole"]

SECONDS: Final = 5.0
"""How long other workers may take to answer, unless told otherwise: as on Node."""


class _NoSuchClient(KeyError):
    """This worker has no such client."""


class AskedWorkers:
    """What a manager asks of those of other workers; mixed in front of one of python-socketio's."""

    server: Any
    host_id: str
    rooms: dict[str, dict[str | None, Any]]  # by namespace and name: the clients of a room, as python-socketio has them
    _seat: GroupSeat | None
    _put: Put | None
    members: frozenset[int] | None  # the other workers, when all was heard that they told before; None: not yet

    def __init__(self, **options: Any) -> None:
        self._questions = Questions()
        self._server_side: dict[str, Callable[..., Any]] = {}
        super().__init__(**options)

    def take_seat(self) -> GroupSeat | None:
        """Return this manager's seat; see :class:`~nodecluster_compat.socketio.shared.Clustered`."""
        raise NotImplementedError

    def _tell(self, target: int, told: Told) -> None:
        raise NotImplementedError

    def _run_server_side(self, sender: int, told: Told) -> None:
        raise NotImplementedError

    # --- asking --------------------------------------------------------------------------------

    def _begin_question(
        self,
        asked: Collection[int] | None,
        told: Told,
        timeout: float,
        ended: Ended,
        suffices: Callable[[Any], bool] | None = None,
    ) -> None:
        """Ask other workers; ``ended`` is called when all have answered or are gone, or when the time is over.

        Args:
            asked: their ids; ``None`` for all.
            told: the question.
            timeout: seconds above 0.
            ended: called once, perhaps at once.
            suffices: whether an answer makes all others needless.
        """
        seconds = checked_request_timeout(timeout) or SECONDS
        seat = self.take_seat()
        if seat is None or self._put is None:
            ended(Answers())
            return
        with seat.lock:
            present = self.members or frozenset()
            members = present if asked is None else present & set(asked)
            number = self._questions.begin(members, ended, suffices)
        if members:
            seat.runtime.call_later(seconds, lambda: self._questions.expire(number))
            question = {"method": "ask", "id": number, "asker": self.host_id, **told}
            for target in (ALL_OTHERS,) if asked is None else members:
                self._tell(target, question)

    def told_answer(self, sender: int, told: Told) -> None:
        """Another worker has answered; what it answers to one that is gone goes to all."""
        if told.get("asker", self.host_id) != self.host_id:
            return
        assert self._seat is not None
        with self._seat.lock:
            if "unknown" in told:
                self._questions.unknown(told["id"], sender)
            elif "failure" in told:
                self._questions.failed(told["id"], sender, str(told["failure"]))
            else:
                self._questions.answered(told["id"], sender, told.get("value"))

    # --- answering -----------------------------------------------------------------------------

    def told_ask(self, sender: int, told: Told) -> None:
        """Another worker asks."""
        if told["what"] == "event":
            self._run_server_side(sender, told)
            return
        try:
            value = self._facts[told["what"]](self, told)
        except _NoSuchClient as error:
            self._answer(sender, told, failure=str(error.args[0]), unknown=True)
        except KeyError as error:
            self._answer(sender, told, failure=str(error.args[0]))
        except Exception as error:
            self._answer(sender, told, failure=f"{type(error).__name__}: {error}")
            raise
        else:
            self._answer(sender, told, value=value)

    def _answer(self, sender: int, told: Told, **outcome: Any) -> None:
        if told.get("id") is None:
            return
        answer = {"method": "answer", "id": told["id"], "asker": told.get("asker")}
        try:
            self._tell(sender, {**answer, **outcome})
        except (MessageNotSerializable, MessageTooLarge) as error:
            self._tell(sender, {**answer, "failure": str(error)})

    # --- the facts -----------------------------------------------------------------------------

    def _socket_of(self, told: Told) -> Any:  # noqa: ANN401 - Engine.IO has no types
        eio_sid = self.eio_sid_from_sid(told["sid"], told["namespace"])  # type: ignore[attr-defined]
        socket = None if eio_sid is None else self.server.eio.sockets.get(eio_sid)
        if socket is None:
            raise _NoSuchClient("Session not found")  # as python-socketio says
        return socket

    def _is_here(self, told: Told) -> bool:
        return self.eio_sid_from_sid(told["sid"], told["namespace"]) is not None  # type: ignore[attr-defined]

    def _local_rooms(self, told: Told) -> list[str]:
        return self._rooms_by_sid([told["sid"]], told["namespace"])[told["sid"]]

    def _rooms_by_sid(self, sids: Iterable[str], namespace: str) -> dict[str, list[str]]:
        """Return the rooms of each of these clients: by one walk, and while other threads change them."""
        found: dict[str, list[str]] = {sid: [] for sid in sids}
        for room, members in self.rooms.get(namespace, {}).copy().items():
            if room is not None:
                for sid in found.keys() & members._fwdm.keys():  # in one step; the length of the shorter
                    found[sid].append(room)
        return found

    def _local_session(self, told: Told) -> Any:  # noqa: ANN401 - of the application
        return self._socket_of(told).session.setdefault(told["namespace"], {})

    def _save_local_session(self, told: Told) -> bool:
        self._socket_of(told).session[told["namespace"]] = told["session"]
        return True

    def _local_sockets(self, told: Told) -> list[list[Any]]:
        namespace = told["namespace"]
        found: dict[str, str] = dict(self.get_participants(namespace, told["room"]))  # type: ignore[attr-defined]
        rooms = self._rooms_by_sid(found, namespace)
        return [self._described(sid, eio_sid, namespace, rooms[sid]) for sid, eio_sid in found.items()]

    def _described(self, sid: str, eio_sid: str, namespace: str, rooms: list[str]) -> list[Any]:
        socket = self.server.eio.sockets.get(eio_sid)
        environ = self.server.environ.get(eio_sid, {})
        session = {} if socket is None else socket.session.get(namespace, {})
        transport = "websocket" if socket is not None and socket.upgraded else "polling"
        return [sid, rooms, session, transport, environ.get("REMOTE_ADDR")]

    def _sockets_of(self, answers: Answers, told: Told) -> list[RemoteSocket]:
        own = 0 if self._seat is None else self._seat.worker_id
        found = {own: self._local_sockets(told), **whole(answers)}
        return [
            RemoteSocket(sid, told["namespace"], rooms, session, transport, address, worker_id)
            for worker_id, sockets in sorted(found.items())
            for sid, rooms, session, transport, address in sockets
        ]

    # --- events for servers --------------------------------------------------------------------

    def on_server_side(self, event: str, handler: Callable[..., Any] | None = None) -> Any:  # noqa: ANN401 - a decorator
        """Call ``handler(*args)`` for what another worker emits by ``server_side_emit``; also a decorator.

        Args:
            event: its name.
            handler: what it returns is the answer.  It runs beside everything else, so it may wait.

        Raises:
            ArgumentError: the event has a handler, or that cannot be called.
        """
        if handler is None:
            return lambda function: self.on_server_side(event, function)
        if event in self._server_side:
            raise ArgumentError(f"expected one handler of the server-side event {event!r}, got a second")
        self._server_side[event] = checked_callable(handler, "the handler of a server-side event")
        return handler

    def _server_side_handler(self, sender: int, told: Told) -> Callable[..., Any] | None:
        handler = self._server_side.get(told["event"])
        if handler is None:
            self._answer(sender, told, failure=f"no handler of the server-side event {told['event']!r}")
        return handler

    _facts: Mapping[str, Callable[[Any, Told], Any]] = MappingProxyType(
        {
            "rooms": _local_rooms,
            "session": _local_session,
            "save": lambda self, told: self._save_local_session(told),  # as whoever extends it does
            "sockets": _local_sockets,
        }
    )


def whole(answers: Answers) -> dict[int, Any]:
    """Return what workers have answered, all of them.

    Raises:
        RequestTimedOut: one has not; those that came are its ``answers``.
        RequestFailed: one could not.
    """
    if answers.missing:
        names = ", ".join(str(one) for one in sorted(answers.missing))
        raise RequestTimedOut(f"expected all workers to answer in time, and these did not: {names}", answers.values)
    for worker_id, reason in answers.failures.items():
        raise RequestFailed(f"worker {worker_id} answered that it cannot: {reason}")
    return answers.values


def only_value(answers: Answers) -> Any:  # noqa: ANN401 - of the application
    """Return what the one worker has answered that serves a client.

    Raises:
        KeyError: there is no such client.
        RequestTimedOut: it did not answer in time.
        RequestFailed: it could not.
    """
    for value in answers.values.values():
        return value
    whole(answers)
    raise _NoSuchClient("Session not found")


def told_rooms(answers: Answers) -> list[str]:
    """Return the rooms of a client, as its worker has answered; ``[]``: no worker has it.

    Raises:
        RequestTimedOut: one has not answered in time, and it may be that.
        RequestFailed: one could not.
    """
    rooms: list[str]
    for rooms in answers.values.values():
        if rooms:
            return rooms
    whole(answers)
    return []
