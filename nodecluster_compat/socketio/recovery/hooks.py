"""Hook recovery into a manager and its server: what waits for nothing.

python-socketio has no recovery, so what it asks is extended where it asks:

    ``_handle_connect``     a client that gives back a name and an offset is claimed from the worker that had it
    ``pre_connect``         it gets its id, its rooms, and what it missed, before anything new can come
    ``_send_packet``        the name of its session goes with CONNECT, as Socket.IO's clients expect it
    ``_handle_emit``        an event is remembered, and its offset goes as its last argument
    ``_handle_disconnect``  a connection that broke leaves a session; a client that said goodbye does not
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from ...sharing.group_desk import ALL_OTHERS
from ..acknowledgements import only
from ..shared import NOWHERE
from ..wire import Told
from .claims import Arrival
from .keeping import Client, Keeping
from .memory import Memory
from .offsets import Offset, encode_offset
from .packet_log import Packet, listed, sealed
from .sessions import Session
from .telling import size_of

if TYPE_CHECKING:
    from ...sharing.groups import Posted

__all__ = ["Recovering"]

_RECOVERED: Final = "nodecluster.recovered"
_OF_ONE_CLIENT: Final = frozenset({"emit", "disconnect", "enter_room", "leave_room"})


class Recovering(Keeping):
    """A manager that recovers sessions, or does not; see :class:`Keeping`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._arrivals: dict[tuple[str, str], Arrival] = {}
        self._breaking: dict[tuple[str, str], Session] = {}
        self._ending: set[str] = set()
        super().__init__(*args, **options)

    # --- events --------------------------------------------------------------------------------

    def _remembered(self, told: Told) -> tuple[Told, Posted | None]:
        """Remember an event; one that is emitted here is numbered and posted first, see :meth:`_numbered`.

        Returns:
            The event with its offset, for clients, and what to wait for.  It goes to them as it is where it awaits an
            acknowledgement, or where a manager has emitted it that recovers nothing.
        """
        posted = None
        if "packet" in told:
            sender, number, sent_at = told["packet"]
            have_it = self.memory.received(sender, number, sent_at, told, size_of(told["data"]))
            told = without(told, have_it)
        elif told.get("callback") is None and told.get("host_id") == self.host_id:
            posted = self._numbered(told)
        else:
            return told, None
        return with_offset(told, self.memory.offset_now()), posted

    def _numbered(self, told: Told) -> Posted | None:
        """Number an event, post it, and keep it as it is now, in one step: others hear of each in its turn.

        What cannot be sent uses up no number.  The caller holds the lock.
        """
        memory, seat, target = self.memory, self.take_seat(), self._target_of(told)
        told["packet"] = packet = memory.next_packet()
        if target == NOWHERE and not self._will_hear(told):
            told["passed"], target = True, ALL_OTHERS
        body = self._packed(told)
        posted = None if seat is None or target == NOWHERE else seat.begin_post(body, target, self._put)
        memory.received(*packet, sealed(told, body), len(body))
        return posted

    def _will_hear(self, told: Told) -> bool:
        """Whether a client of this worker is here to stay; what is for one that is away others keep as well."""
        is_here = self._is_here({"sid": only(told["room"]), "namespace": told["namespace"]})
        return is_here and not self._has_handed_over

    def _event_of(self, packet: Packet, offset: str) -> Any:  # noqa: ANN401 - python-socketio has no types
        """Return a packet that a client has missed, as its transport takes it."""
        told = with_offset(packet.told, offset)
        arguments = told["data"]
        if told.get("binary"):
            attachments = [base64.b64decode(one) for one in arguments[1:]]
            arguments = self._packet.reconstruct_binary(arguments[0], attachments)
        return self.server.packet_class(_event_type(), namespace=told["namespace"], data=[told["event"], *arguments])

    # --- a client comes ------------------------------------------------------------------------

    def _admit(self, eio_sid: str, namespace: str) -> tuple[str, list[Any]] | None:
        """Let a client that came back be who it was; return its id, and what it missed.

        The caller holds the lock and sends at once: what comes meanwhile must come after it.

        Returns:
            ``None`` where it has not come back, or where what it missed may not be all there.
        """
        environ = self.server.environ[eio_sid]
        environ[_RECOVERED] = False  # namespaces share it
        arrival = self._arrivals.pop((eio_sid, namespace), None)
        if arrival is None:
            return None
        claim, session = arrival.claim, arrival.session
        offset = self.memory.credible(arrival.offset, session, arrival.missed)
        here = self.memory.missed(offset, session.sid, namespace, [session.sid, *session.rooms], None)
        packets = Memory.merged(offset, session.began, [here, *arrival.missed])
        if packets is None or self.eio_sid_from_sid(session.sid, namespace) is not None:  # type: ignore[attr-defined]
            self._give_up(claim)
            return None
        self._has_arrived(claim)
        self.memory.takes_in(session.sid, offset, packets)
        for room in (None, session.sid, *session.rooms):
            self.basic_enter_room(session.sid, namespace, room, eio_sid=eio_sid)
        self.pending_connect.setdefault(namespace, []).append(session.sid)  # type: ignore[attr-defined]
        self.server.eio.sockets[eio_sid].session[namespace] = session.data
        environ[_RECOVERED] = True
        self._begin_session(session)
        return session.sid, self._in_order(offset, packets)

    def _in_order(self, offset: Offset, packets: Sequence[Packet]) -> list[Any]:
        events = []
        for packet in packets:
            offset = offset.with_packet(packet.sender, packet.number, packet.time)
            is_last = packet is packets[-1]
            events.append(self._event_of(packet, self.memory.offset_now() if is_last else encode_offset(offset)))
        return events

    def _admit_newcomer(self, sid: str, namespace: str) -> None:
        """A client has come for the first time."""
        self._begin_session(Session(secrets.token_urlsafe(15), sid, namespace, [], {}, 0, "", self.memory.clock()))

    def _begin_session(self, session: Session) -> None:
        self._clients[session.namespace, session.sid] = Client(session.pid, dict.fromkeys(session.rooms, True))
        self._keep(
            structs.replace(session, home=self.memory.worker_id, left_at=None, base=self.memory.base_now()), session
        )

    def _named(self, packet: Any) -> Any:  # noqa: ANN401 - python-socketio has no types
        """Return a packet to a client; CONNECT with the name of its session."""
        if packet.packet_type == _connect_type() and isinstance(packet.data, dict):
            client = self._clients.get((packet.namespace or "/", packet.data.get("sid", "")))
            if client is not None:
                packet.data = {**packet.data, "pid": client.pid}
        return packet

    # --- a client goes -------------------------------------------------------------------------

    def _breaks(self, eio_sid: str, namespace: str) -> tuple[str, str] | None:
        """Note that a connection broke, before handlers hear of it; return by what to end that note."""
        sid = self.sid_from_eio_sid(eio_sid, namespace)  # type: ignore[attr-defined]
        if sid is None or eio_sid not in self._ending:
            return None
        session = self._current(namespace, sid)
        if session is not None:
            self._breaking[namespace, sid] = session
        return namespace, sid

    def basic_disconnect(self, sid: str, namespace: str, **options: Any) -> Any:  # noqa: ANN401 - python-socketio's
        """Extends :class:`Clustered`'s: a connection that broke leaves a session."""
        if self.recovery is None:
            return super().basic_disconnect(sid, namespace, **options)
        with self.memory.lock:  # in between it might come back, and would be taken out of its rooms
            self._has_gone(sid, namespace)
            return super().basic_disconnect(sid, namespace, **options)

    def _has_gone(self, sid: str, namespace: str) -> None:
        key = namespace, sid
        client = self._clients.pop(key, None)
        if client is not None and key not in self._given_away:
            self.memory.reservations.left(client.pid, self.memory.worker_id)
            broken = self._breaking.get(key)
            if broken is not None:
                self._keep(structs.replace(broken, left_at=self.memory.clock()))
            else:
                self.memory.sessions.forget(client.pid)
                self.memory.moves_no_more(sid)
                self._tell(0, {"method": "forget", "pid": client.pid, "sid": sid})
        self._given_away.discard(key)

    # --- clients that have moved ---------------------------------------------------------------

    def home_of(self, sid: object) -> int | None:
        """Extends :class:`Clustered`'s: a client that has come back elsewhere is there."""
        if self.recovery is not None and isinstance(sid, str):
            return self.memory.home_of(sid) or super().home_of(sid)
        return super().home_of(sid)

    def _spans(self, sender: int, told: Told) -> bool:
        """Extends :class:`Clustered`'s: an event is of whoever has sent it, as this host knows that, and of now.

        When it was sent, the clock of another host has said, which may differ from this one's by any number of days.
        """
        if "packet" in told:
            told["packet"] = [sender, told["packet"][1], self.memory.clock()]
        return super()._spans(sender, told)

    def _packed(self, told: Told) -> bytes:
        """Extends :class:`Clustered`'s: between hosts all hear what is for one client, and nobody passes it on."""
        if self.recovery is not None and self.spans_hosts and told["method"] in _OF_ONE_CLIENT:
            told = {**told, "passed": True}
        return super()._packed(told)

    def _unpacked(self, told: Told, sender: int) -> Told | None:
        """Extends :class:`Clustered`'s: pass on what is for a client that has moved."""
        if self.recovery is not None and told["method"] in _OF_ONE_CLIENT and not told.get("passed"):
            address = told.get("room") if told["method"] == "emit" else told.get("sid")
            home = self.memory.home_of(sid) if isinstance(sid := only(address), str) else None
            if home is not None and home != self.memory.worker_id and home in (self.members or ()):
                self._tell(home, {**told, "passed": True})
                return None
        return super()._unpacked(told, sender)


def with_offset(told: Told, offset: str) -> Told:
    """Return an event with its offset as the last argument."""
    data = told["data"]
    if told.get("binary"):
        return {**told, "data": [[*data[0], offset], *data[1:]]}
    return {**told, "data": [offset] if data == [None] else [*data, offset]}


def without(told: Told, sids: list[str]) -> Told:
    """Return an event that does not go to these clients."""
    return {**told, "skip_sid": [*listed(told["skip_sid"]), *sids]} if sids else told


def _event_type() -> Any:  # noqa: ANN401 - python-socketio has no types
    from socketio import packet

    return packet.EVENT


def _connect_type() -> Any:  # noqa: ANN401 - as above
    from socketio import packet

    return packet.CONNECT
