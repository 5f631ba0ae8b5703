"""Keep what the clients of this worker have, and tell other workers of it, so that one which is killed loses none.

They are told of each session (``session``), and which client has said goodbye (``forget``).  A worker that has just
come is told of all.  One that leaves says what it has sent (``handed``), and the others answer for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, structs

from ...base.arguments import checked_seconds
from ...errors import ArgumentError
from ..wire import Told
from .claims import Claiming
from .memory import HandedOver, Memory
from .sessions import Session
from .telling import CannotBeTold, over, pieces, tell_each

if TYPE_CHECKING:
    from ..group_seat import GroupSeat

__all__ = ["Client", "Keeping"]

_EXPIRY_SECONDS: Final = 1.0  # at least between two looks for sessions whose time is over


class Client(Struct):
    """A client of this worker.

    Attributes:
        pid: the secret name of its session.
        rooms: where it is, in the order in which it came there, without its own.
    """

    pid: str
    rooms: dict[Any, bool]


class Keeping(Claiming):
    """A manager that remembers sessions, or does not; what is no hook of a server's.

    Args:
        recovery: how many seconds a client may stay away; ``None``: nothing is recovered.
        options: of :class:`Clustered`.
    """

    def __init__(self, *args: Any, recovery: float | None = None, **options: Any) -> None:
        if recovery is not None and checked_seconds(recovery) <= 0:
            raise ArgumentError(f"expected how many seconds a client may stay away, got recovery={recovery!r}")
        self.recovery = recovery
        self._memory: Memory | None = None
        self._memory_pid = 0
        self._clients: dict[tuple[str, str], Client] = {}
        self._given_away: set[tuple[str, str]] = set()
        self._known_members: frozenset[int] = frozenset()
        self._expires = self._has_said = self._has_handed_over = False
        super().__init__(*args, **options)

    @property
    def memory(self) -> Memory:
        """What is remembered in this process, by all managers of a channel: they number together."""
        if self._memory is None or self._memory_pid != os.getpid():
            seat = self.take_seat()
            shared = None if seat is None else seat.memory
            self._memory = shared if isinstance(shared, Memory) else self._new_memory(seat)
            if seat is not None:
                seat.memory = self._memory
            self._memory_pid = os.getpid()
            self._expires = False
        return self._memory

    def _new_memory(self, seat: GroupSeat | None) -> Memory:
        worker_id = 0 if seat is None else seat.worker_id
        return Memory(worker_id, self.recovery or 0, decode=lambda body: self._wire().decode(body))

    # --- what is told of sessions --------------------------------------------------------------

    def _keep(self, session: Session, former: Session | None = None) -> Session:
        version = (former or session).version + 1
        kept = structs.replace(session, version=version)
        self.memory.sessions.keep(kept, self.memory.clock())
        self._expire_in_time()
        self._note_home(kept)
        self._tell_piece(0, [structs.asdict(kept)])
        return kept

    def _current(self, namespace: str, sid: str) -> Session | None:
        """Return the session of a client of this worker, as it is now."""
        client = self._clients.get((namespace, sid))
        session = None if client is None else self.memory.sessions.get(client.pid, self.memory.clock())
        if client is None or session is None:
            return None
        socket = self.server.eio.sockets.get(self.eio_sid_from_sid(sid, namespace))  # type: ignore[attr-defined]
        data = session.data if socket is None else socket.session.get(namespace, {})
        return structs.replace(session, rooms=list(client.rooms), data=data)

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:  # noqa: ANN401 - of the application
        """Extends python-socketio's: others are told, in case that this worker is killed."""
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)  # type: ignore[misc]
        client = self._clients.get((namespace, sid))
        if client is not None and room != sid and not client.rooms.get(room):
            client.rooms[room] = True
            self._changed(sid, namespace)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:  # noqa: ANN401 - of the application
        """Extends python-socketio's: as :meth:`basic_enter_room`."""
        super().basic_leave_room(sid, namespace, room)  # type: ignore[misc]
        client = self._clients.get((namespace, sid))
        if client is not None and client.rooms.pop(room, False):
            self._changed(sid, namespace)

    def _save_local_session(self, told: Told) -> bool:
        is_saved = super()._save_local_session(told)
        self._changed(told["sid"], told["namespace"])
        return is_saved

    def _changed(self, sid: str, namespace: str) -> None:
        if (namespace, sid) not in self._given_away:
            with self.memory.lock:  # of two threads who tells last tells all
                session = self._current(namespace, sid)
                if session is not None:
                    self._keep(session)

    def told_session(self, _: int, told: Told) -> None:
        """Another worker says what clients have."""
        now = self.memory.clock()
        with self.memory.lock:
            self.memory.greeted(told.get("seen"))
        for session in msgspec.convert(told["sessions"], list[Session]):
            self.memory.sessions.keep(session, now)
            self._note_home(session)
            if session.left_at is not None:
                self.memory.reservations.left(session.pid, session.home)
        self._expire_in_time()

    def _expire_in_time(self) -> None:
        """Look for sessions whose time is over, if nobody does so already: each worker for itself."""
        if not self._expires:
            self._expire()

    def _expire(self) -> None:
        left = self.memory.sessions.forget_old(self.memory.clock())
        self._expires = left is not None and self._seat is not None
        if left is not None and self._seat is not None:
            self._seat.runtime.call_later(max(left / 1000, _EXPIRY_SECONDS), self._expire)

    def _note_home(self, session: Session) -> None:
        if session.home == super().home_of(session.sid):
            self.memory.moves_no_more(session.sid)
        else:
            self.memory.has_moved(session.sid, session.home)

    def told_forget(self, _: int, told: Told) -> None:
        """A client has said goodbye to another worker."""
        self.memory.sessions.forget(told["pid"])
        self.memory.moves_no_more(told["sid"])

    # --- workers come and go -------------------------------------------------------------------

    def _members_changed(self, members: frozenset[int]) -> None:
        """Extends :class:`Clustered`'s: a newcomer is told of sessions, and all are when a worker is gone."""
        super()._members_changed(members)
        if self.recovery is None:
            return
        known, self._known_members = self._known_members, members
        for newcomer in self.own_members - known:
            sessions = self.memory.sessions_for_newcomer(members - {newcomer})
            self._tell_sessions(newcomer, sessions, seen=self.memory.offset_now())
        if known - members:
            self._tell_sessions(0, self.memory.sessions_after_loss(members))
        with self.memory.lock:
            self.memory.members_changed(members, self.own_members)
        self._expire_in_time()

    def _tell_sessions(self, target: int, sessions: Sequence[Session], **more: str) -> None:
        for piece in pieces(sessions) or ([[]] if more else []):
            self._tell_piece(target, piece, **more)
            more = {}

    def _tell_piece(self, target: int, piece: list[Told], **more: str) -> None:
        def tell(sessions: list[Told]) -> None:
            self._tell(target, {"method": "session", "sessions": sessions, **more})

        def refused(session: Told, error: CannotBeTold) -> None:
            self._cannot_tell(error)
            tell([over(session)])

        tell_each(piece, tell, refused)

    def _cannot_tell(self, error: Exception) -> None:
        if not self._has_said:
            self._has_said = True
            self._get_logger().warning(  # type: ignore[attr-defined]
                "Something of a client's stays with its worker, and no other can recover it: %s", error
            )

    def _hand_over(self) -> None:
        """Let others answer for what this worker has sent, and for its clients: it leaves."""
        self._has_handed_over = True
        if self.recovery is not None and self._seat is not None:
            self._tell_sessions(0, self.memory.sessions_at_leaving(self.members or ()))
            with self.memory.lock:
                parts = list(self.memory.hand_over(self.own_members))
            for part in parts:
                self._tell_part(part)

    def _tell_part(self, part: HandedOver) -> None:
        def tell(packets: list[Told]) -> None:
            self._tell(0, {"method": "handed", "part": {**structs.asdict(part), "packets": packets}})

        packets = [structs.asdict(one) for one in part.packets]
        tell_each(packets, tell, lambda _, error: self._cannot_tell(error))  # only clients of this worker heard that

    def told_handed(self, sender: int, told: Told) -> None:
        """Another worker leaves."""
        with self.memory.lock:
            self.memory.handed_over(sender, msgspec.convert(told["part"], HandedOver))

    _acts: Mapping[str, Callable[[Any, int, Told], None]] = MappingProxyType(
        {**Claiming._acts, "session": told_session, "forget": told_forget, "handed": told_handed},
    )
    _of_one_host = frozenset({"session", "forget", "handed", "given_up"})
