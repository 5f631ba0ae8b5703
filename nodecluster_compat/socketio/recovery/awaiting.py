"""Recover sessions in a server that runs on an event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from ...errors import ClusterError
from ..events import ENCODED
from ..questions import Answers
from ..wire import Told
from .claims import CLAIM_SECONDS, Arrival, split_claim
from .hooks import Recovering
from .reservations import Claim
from .sessions import Session

_LOOK_SECONDS: Final = 0.01

__all__ = ["AwaitingRecovery"]


class AwaitingRecovery(Recovering):
    """The steps of :class:`Recovering` in which something may be awaited."""

    async def _ask(self, asked: Any, told: Told, timeout: float) -> Answers:  # noqa: ANN401 - see ``AsyncClusterManager``
        raise NotImplementedError

    def set_server(self, server: Any) -> None:  # noqa: ANN401 - python-socketio has no types
        """Extends :class:`Clustered`'s."""
        super().set_server(server)
        if self.recovery is not None:
            self._connect_of_server, server._handle_connect = server._handle_connect, self._connect
            self._disconnect_of_server, server._handle_disconnect = server._handle_disconnect, self._disconnect
            self._send_of_server, server._send_packet = server._send_packet, self._send
            server.eio.on("disconnect", self._engine_ends)

    async def _handle_emit(self, message: Told) -> None:
        if self.recovery is None or ENCODED in message:  # of a worker that recovers nothing
            await super()._handle_emit(message)  # type: ignore[misc]
            return
        told, posted = self._remembered(message)
        await super()._handle_emit(told)  # type: ignore[misc]
        if self._seat is not None:
            await self._seat.wait_for_async(posted)

    async def _connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:  # noqa: ANN401 - of the application
        name = namespace or "/"
        pid, offset, auth = split_claim(data)
        arrival = None if pid is None else await self._claimed_for(self._claim(pid, name), offset)
        if arrival is not None:
            self._arrivals[eio_sid, name] = arrival
        try:
            if pid is None or self._is_open(eio_sid):  # it has tried again meanwhile, perhaps
                await self._connect_of_server(eio_sid, namespace, auth)
        finally:
            unused = self._arrivals.pop((eio_sid, name), None)
            if unused is not None:
                self._give_up(unused.claim)

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        """Extends python-socketio's: a client that came back has its id, and what it missed."""
        if self.recovery is None:
            return await super().pre_connect(eio_sid, namespace)  # type: ignore[misc,no-any-return]
        admitted = self._admit(eio_sid, namespace)
        if admitted is not None:
            for packet in admitted[1]:
                await self.server._send_packet(eio_sid, packet)  # puts it into a queue: nobody else runs meanwhile
            return admitted[0]
        sid: str | None = await super().pre_connect(eio_sid, namespace)  # type: ignore[misc]
        if sid is not None:
            self._admit_newcomer(sid, namespace)
        return sid

    async def _send(self, eio_sid: str, packet: Any) -> None:  # noqa: ANN401 - as above
        await self._send_of_server(eio_sid, self._named(packet))

    async def _engine_ends(self, eio_sid: str, reason: Any) -> None:  # noqa: ANN401 - as above
        """The Engine.IO connection has ended, which says no goodbye of any client's."""
        self._ending.add(eio_sid)
        try:
            await self.server._handle_eio_disconnect(eio_sid, reason)
        finally:
            self._ending.discard(eio_sid)

    async def _disconnect(self, eio_sid: str, namespace: str | None, reason: Any = None) -> None:  # noqa: ANN401 - as above
        key = self._breaks(eio_sid, namespace or "/")
        try:
            await self._disconnect_of_server(eio_sid, namespace, reason)
        finally:
            if key is not None:
                self._breaking.pop(key, None)

    async def _claimed_for(self, claim: Claim, given: object) -> Arrival | None:
        """Return what a client asks for; ``None``: it begins anew."""
        arrival = None
        try:
            await self._until(self._knows_others)
            session = await self._session_of(claim)
            if session is None:
                return None
            arrival = await self._arrival_of(claim, session, given)
        except ClusterError:
            self._get_logger().exception("A session could not be recovered")  # type: ignore[attr-defined]
        if arrival is None:
            self._give_up(claim)
        return arrival

    async def _arrival_of(self, claim: Claim, session: Session, given: object) -> Arrival | None:
        offset = self.memory.start_of(session, given)
        if offset is None:
            return None
        await self._until(lambda: not self._is_here({"sid": session.sid, "namespace": session.namespace}))
        question = self._question_of_missed(claim, session, offset)
        return self._arrival(claim, session, offset, await self._ask(self._asked_of_all(), question, CLAIM_SECONDS))

    async def _session_of(self, claim: Claim) -> Session | None:
        """Ask who has a session, until those were asked who can say so, and all stay."""
        patience = time.monotonic() + CLAIM_SECONDS
        while True:
            asked = self._asked_for_claim(claim.pid)
            answers = await self._ask(asked, self._question_of_claim(claim), CLAIM_SECONDS)
            session = self._newest(claim, answers)
            if session is not None or time.monotonic() >= patience:
                return session
            if not self._may_be_known_now(claim, asked, answers):
                return None

    async def _until(self, is_so: Callable[[], object]) -> None:
        patience = time.monotonic() + CLAIM_SECONDS
        while not is_so() and time.monotonic() < patience:
            await self.server.sleep(_LOOK_SECONDS)

    def _close_soon(self, eio_sid: str) -> None:
        socket = self.server.eio.sockets.get(eio_sid)
        if socket is not None:
            self.server.start_background_task(socket.close, wait=False, abort=True, reason="transport close")
