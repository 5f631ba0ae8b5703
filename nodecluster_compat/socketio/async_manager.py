"""Let several ASGI workers share their Socket.IO clients: ``AsyncClusterManager``, the twin of ``ClusterManager``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Collection
from threading import get_ident
from typing import TYPE_CHECKING, Any

from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from socketio import packet
from socketio.async_pubsub_manager import AsyncPubSubManager

from .asked_workers import SECONDS, only_value, told_rooms, whole
from .binary import send_in_both_forms
from .events import ENCODED, receivers
from .moving import SHUTTING_DOWN, move_clients_in_task
from .questions import Answers
from .records import RemoteSocket
from .recovery.awaiting import AwaitingRecovery
from .shared import RUNS_HANDLERS
from .unanswered import end_apart_in_tasks
from .wire import Told

if TYPE_CHECKING:
    from .group_seat import Envelope

__all__ = ["AsyncClusterManager"]


class AsyncClusterManager(AwaitingRecovery, AsyncPubSubManager):  # type: ignore[misc]  # python-socketio has no types
    """A client manager for python-socketio's ``AsyncServer``, in ``ASGIWorker``.

    ::

        server = socketio.AsyncServer(async_mode="asgi", client_manager=AsyncClusterManager())

    What :class:`~nodecluster_compat.socketio.manager.ClusterManager` has, awaited.  ``server.rooms()``, which is no
    coroutine, knows the clients of this worker only: write ``await manager.rooms_of(sid)``.

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
        end_apart_in_tasks(server.eio)
        send_in_both_forms(server)

    async def _publish(self, data: Told) -> None:
        seat, target = self._way_of(data)
        if seat is not None and "packet" not in data:  # that was posted as it was numbered
            await seat.post_async(self._packed(data), target, self._put)

    async def _listen(self) -> AsyncIterator[Told]:
        arrived: asyncio.Queue[Envelope] = asyncio.Queue()
        loop, thread = asyncio.get_running_loop(), get_ident()

        def put(envelope: Envelope) -> None:
            if get_ident() == thread:
                arrived.put_nowait(envelope)
            else:
                loop.call_soon_threadsafe(arrived.put_nowait, envelope)

        self._listen_by(put)
        while True:
            told = self._opened(await arrived.get())
            if told is None:
                continue
            if told["method"] in RUNS_HANDLERS:
                self.server.start_background_task(self._run_apart, told)
            else:
                yield told

    async def _handle_emit(self, message: Told) -> None:
        """Extends python-socketio's: what was encoded once goes to the clients as it is."""
        text = message.get(ENCODED) if self.recovery is not None else self._text_of(message)
        if text is None:
            await super()._handle_emit(message)
            return
        packet = EnginePacket(MESSAGE, text)
        send = self.server._send_eio_packet  # which ends a client that has not answered, and awaits its handler
        sending = [asyncio.create_task(send(eio_sid, packet)) for eio_sid in receivers(self, message)]
        if sending:
            await asyncio.wait(sending)

    async def _run_apart(self, told: Told) -> None:
        """Act on what runs a program's functions: one that asks other workers does not hold up the answers to it."""
        try:
            if told["method"] == "callback":
                await self._handle_callback(told)
            elif told.get("host_id") != self.host_id:
                await self._handle_disconnect(told)
        except Exception:  # noqa: BLE001 - of a function: said as python-socketio says it
            self._get_logger().exception("A handler of what another worker told raised")

    # --- clients of other workers --------------------------------------------------------------

    async def rooms_of(self, sid: str, namespace: str | None = None) -> list[str]:
        """Return the rooms of a client, of whichever worker; ``[]`` for one that nobody knows.

        Raises:
            RequestTimedOut: its worker did not answer.
        """
        told = {"sid": sid, "namespace": namespace or "/"}
        if self._is_here(told):
            return self._local_rooms(told)
        return told_rooms(await self._ask_home(sid, {"what": "rooms", **told}))

    async def get_session(self, sid: str, namespace: str | None = None) -> Any:  # noqa: ANN401 - of the application
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
        return only_value(await self._ask_home(sid, {"what": "session", **told}))

    async def save_session(self, sid: str, session: object, namespace: str | None = None) -> None:
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
            only_value(await self._ask_home(sid, {"what": "save", **told}))

    async def fetch_sockets(
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
        return self._sockets_of(await self._ask(None, told, timeout), told)

    async def server_side_emit(self, event: str, *args: Any) -> None:
        """Emit an event to the other workers, not to clients; they hear it by :meth:`on_server_side`."""
        if self.take_seat() is not None:
            self._tell(0, {"method": "ask", "id": None, "what": "event", "event": event, "args": list(args)})

    async def server_side_call(self, event: str, *args: Any, timeout: float = SECONDS) -> dict[int, Any]:
        """As :meth:`server_side_emit`; return what the handler of each other worker has returned, by worker id.

        Raises:
            RequestTimedOut: one did not answer in time; ``answers`` has those that came.
            RequestFailed: one has no handler, or that raised.
        """
        return whole(await self._ask(None, {"what": "event", "event": event, "args": list(args)}, timeout))

    async def _ask_home(self, sid: str, told: Told) -> Answers:
        home = self.home_of(sid)
        if home is not None and self.spans_hosts:
            return await self._ask(None, told, SECONDS, bool)  # the worker that serves the client has an answer
        return await self._ask(() if home is None else (home,), told, SECONDS)

    async def _ask(
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

        await seat.runtime.waiting(begin)
        return came[0]

    def _run_server_side(self, sender: int, told: Told) -> None:
        handler = self._server_side_handler(sender, told)
        if handler is not None:
            self.server.start_background_task(self._call_server_side, handler, sender, told)

    async def _call_server_side(self, handler: Callable[..., Any], sender: int, told: Told) -> None:
        try:
            value = handler(*told["args"])
            if inspect.isawaitable(value):
                value = await value
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
            self.server.start_background_task(move_clients_in_task, self.server, _close_all)


async def _close_all(sockets: list[Any]) -> None:
    for socket in sockets:
        await socket.close(wait=False, abort=True, reason=SHUTTING_DOWN)
        await socket.queue.put(None)  # as python-engineio does where it waits: so who polls, or writes, comes to an end
