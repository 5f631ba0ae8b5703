"""Let several workers share their Socket.IO clients, without a server beside them: ``ClusterManager``."""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from socketio import packet
from socketio.pubsub_manager import PubSubManager

from .asked_workers import SECONDS, only_value, told_rooms, whole
from .binary import send_in_both_forms
from .events import ENCODED, receivers
from .moving import SHUTTING_DOWN, move_clients
from .questions import Answers
from .records import RemoteSocket
from .recovery.waiting import WaitingRecovery
from .shared import RUNS_HANDLERS
from .unanswered import end_apart
from .wire import Told

if TYPE_CHECKING:
    from queue import SimpleQueue

    from .group_seat import Envelope

__all__ = ["ClusterManager"]


class ClusterManager(WaitingRecovery, PubSubManager):  # type: ignore[misc]  # python-socketio has no types
    """A client manager for python-socketio and Flask-SocketIO.

    ::

        socketio = SocketIO(app, client_manager=ClusterManager())

    Rooms, broadcasts, acknowledgements and ``disconnect`` reach the clients of all workers, as with a message queue.
    Beyond that ``rooms``, ``get_session``, ``save_session`` and ``session`` of the server know the clients of other
    workers, and this manager has :meth:`fetch_sockets`, :meth:`server_side_emit` and :meth:`server_side_call`.

    In a program that no cluster started it is python-socketio's own manager: one process, its own clients.

    Args:
        channel: managers of one name share their clients.
        write_only: it only emits, to the clients of others: it needs no server, but a worker as its process.
        logger: instead of the server's.
        json: a module as Python's, where there is no server.
        recovery: how many seconds a client may stay away and have its id, its rooms and what it missed when it comes
            back, to whichever worker; ``None``: it begins anew.  For Socket.IO's JavaScript client from 4.6 on: each
            event has one more argument then, by which that client says how far it has got.
    """

    _packet = packet.Packet
    _event_type = packet.EVENT

    # --- what python-socketio asks -------------------------------------------------------------

    def set_server(self, server: Any) -> None:  # noqa: ANN401 - python-socketio has no types
        """Extends python-socketio's: whom nothing is heard of any more holds up nobody, and bytes reach who polls."""
        super().set_server(server)
        end_apart(server.eio)
        send_in_both_forms(server)

    def _publish(self, data: Told) -> None:
        seat, target = self._way_of(data)
        if seat is not None and "packet" not in data:  # that was posted as it was numbered
            seat.post(self._packed(data), target, self._put)

    def _listen(self) -> Iterator[Told]:
        arrived: SimpleQueue[Envelope] = queue.SimpleQueue()  # by name: gevent has replaced it by now, where it does
        self._listen_by(arrived.put)
        while True:
            told = self._opened(arrived.get())
            if told is None:
                continue
            if told["method"] in RUNS_HANDLERS:
                self.server.start_background_task(self._run_apart, told)
            else:
                yield told

    def _handle_emit(self, message: Told) -> None:
        """Extends python-socketio's: what was encoded once goes to the clients as it is."""
        text = message.get(ENCODED) if self.recovery is not None else self._text_of(message)
        if text is None:
            super()._handle_emit(message)
            return
        packet = EnginePacket(MESSAGE, text)
        for eio_sid in receivers(self, message):
            self.server._send_eio_packet(eio_sid, packet)

    def _run_apart(self, told: Told) -> None:
        """Act on what runs a program's functions: one that asks other workers does not hold up the answers to it."""
        try:
            if told["method"] == "callback":
                self._handle_callback(told)
            elif told.get("host_id") != self.host_id:
                self._handle_disconnect(told)
        except Exception:  # noqa: BLE001 - of a function: said as python-socketio says it
            self._get_logger().exception("A handler of what another worker told raised")

    # --- clients of other workers --------------------------------------------------------------

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """Extends python-socketio's: also for a client of another worker; ``[]`` for one that nobody knows.

        Raises:
            RequestTimedOut: its worker did not answer.
        """
        told = {"sid": sid, "namespace": namespace or "/"}
        if self._is_here(told):
            return self._local_rooms(told)
        return told_rooms(self._ask_home(sid, {"what": "rooms", **told}))

    def get_session(self, sid: str, namespace: str | None = None) -> Any:  # noqa: ANN401 - of the application
        """Return the session of a client, of whichever worker; of another worker it is a copy.

        The copy is what JSON makes of it: keys are text, and tuples lists.

        Raises:
            KeyError: no worker has such a client.
            RequestTimedOut: its worker did not answer.
            RequestFailed: the session holds what cannot be sent.
        """
        told = {"sid": sid, "namespace": namespace or "/"}
        if self._is_here(told):
            return self._local_session(told)
        return only_value(self._ask_home(sid, {"what": "session", **told}))

    def save_session(self, sid: str, session: object, namespace: str | None = None) -> None:
        """Keep the session of a client, of whichever worker.

        Raises:
            KeyError: no worker has such a client.
            RequestTimedOut: its worker did not answer.
            MessageNotSerializable: it is another worker's, and the session holds what cannot be sent.
        """
        told = {"sid": sid, "namespace": namespace or "/", "session": session}
        if self._is_here(told):
            self._save_local_session(told)
        else:
            only_value(self._ask_home(sid, {"what": "save", **told}))

    def fetch_sockets(
        self, room: str | None = None, namespace: str = "/", timeout: float = SECONDS
    ) -> list[RemoteSocket]:
        """Return the clients of all workers that are in a room; ``None``: all clients.

        Args:
            room: its name.
            namespace: in which it is.
            timeout: seconds above 0.

        Raises:
            RequestTimedOut: a worker did not answer.
            RequestFailed: a worker could not, because a session holds what cannot be sent.
        """
        told = {"what": "sockets", "room": room, "namespace": namespace}
        return self._sockets_of(self._ask(None, told, timeout), told)

    def server_side_emit(self, event: str, *args: Any) -> None:
        """Emit an event to the other workers, not to clients; they hear it by :meth:`on_server_side`."""
        if self.take_seat() is not None:
            self._tell(0, {"method": "ask", "id": None, "what": "event", "event": event, "args": list(args)})

    def server_side_call(self, event: str, *args: Any, timeout: float = SECONDS) -> dict[int, Any]:
        """As :meth:`server_side_emit`; return what the handler of each other worker has returned, by worker id.

        Raises:
            RequestTimedOut: one did not answer in time; ``answers`` has those that came.
            RequestFailed: one has no handler, or that raised.
        """
        return whole(self._ask(None, {"what": "event", "event": event, "args": list(args)}, timeout))

    def _ask_home(self, sid: str, told: Told) -> Answers:
        home = self.home_of(sid)
        if home is not None and self.spans_hosts:
            return self._ask(None, told, SECONDS, bool)  # the worker that serves the client has an answer
        return self._ask(() if home is None else (home,), told, SECONDS)

    def _ask(
        self,
        asked: Collection[int] | None,
        told: Told,
        timeout: float,
        suffices: Callable[[Any], bool] | None = None,
    ) -> Answers:
        seat = self.take_seat()
        if seat is None:
            return Answers()
        came: list[Answers] = []

        def begin(done: Callable[[], None]) -> None:
            def ended(answers: Answers) -> None:
                came.append(answers)
                done()

            self._begin_question(asked, told, timeout, ended, suffices)

        seat.runtime.wait(begin)
        return came[0]

    def _run_server_side(self, sender: int, told: Told) -> None:
        handler = self._server_side_handler(sender, told)
        if handler is not None:
            self.server.start_background_task(self._call_server_side, handler, sender, told)

    def _call_server_side(self, handler: Callable[..., Any], sender: int, told: Told) -> None:
        try:
            value = handler(*told["args"])
        except Exception as error:  # noqa: BLE001 - told to the worker that asked
            self._get_logger().exception("The handler of the server-side event %r failed", told["event"])
            self._answer(sender, told, failure=f"{type(error).__name__}: {error}")
        else:
            self._answer(sender, told, value=value)

    # --- the worker leaves ---------------------------------------------------------------------

    def _begin_moving(self) -> None:
        try:
            self._hand_over()
        finally:
            self.server.start_background_task(move_clients, self.server, _close_all)


def _close_all(sockets: list[Any]) -> None:
    for socket in sockets:
        socket.close(wait=False, abort=True, reason=SHUTTING_DOWN)
