"""Hold what ``ClusterManager`` and ``AsyncClusterManager`` have in common: all that never waits.

Whom a message is for: the id of a client names its worker (``sid``), so what is for one client goes to one worker, and
stays here if that is this one.  What is for a room goes to all.

Beside the messages of python-socketio's managers there are ours: those of ``asked_workers`` and ``acknowledgements``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..roles.cluster import cluster
from ..roles.process import process
from ..routing.engineio import worker_of
from ..sharing.group_desk import ALL_OTHERS
from ..sharing.remote_groups import is_remote
from .acknowledgements import Acknowledging, host_worker, only
from .asked_workers import AskedWorkers
from .boot import remember
from .events import ENCODED, arguments_of, is_encoded, pack_event, unpack_event
from .group_seat import Envelope, GroupSeat, seat_of
from .wire import Told, Wire, pack_arguments, unpack_arguments

if TYPE_CHECKING:
    from .group_seat import Put

__all__ = ["NOWHERE", "RUNS_HANDLERS", "Clustered"]

NOWHERE: Final = -1
"""In the place of a worker's id: nobody else is to be told."""

RUNS_HANDLERS: Final = frozenset({"callback", "disconnect"})
"""What, told by another worker, runs a program's own functions."""

_NOBODY: Final = (
    "What a write-only manager emits in this process reaches nobody, because this is no worker of a cluster: "
    "let a worker emit it"
)
_OF_A_CLIENT: Final = frozenset({"disconnect", "enter_room", "leave_room"})


class Clustered(Acknowledging):
    """What both managers have: an identity, a seat, and whom a message is for.

    Mixed in front of python-socketio's ``PubSubManager`` or ``AsyncPubSubManager``.

    Args:
        channel: managers of one name share their clients.
        write_only: it only emits, to the clients of others: it needs no server, but a worker as its process.
        logger: instead of the server's.
        json: a module as Python's, where there is no server.
    """

    json: Any
    channel: str
    write_only: bool

    name = "cluster"
    _packet: Any  # socketio.packet.Packet
    _event_type: int  # socketio.packet.EVENT

    def __init__(
        self,
        channel: str = "socketio",
        write_only: bool = False,
        logger: Any = None,  # noqa: ANN401 - python-socketio's
        json: Any = None,  # noqa: ANN401 - as above
    ) -> None:
        self._seat: GroupSeat | None = None
        self._seat_pid = 0
        self._put: Put | None = None
        self._listens_in = self._moves_in = self._warned_in = 0
        self._encoded: tuple[Told, str] | None = None  # what was emitted last, and what clients read of it
        self.members: frozenset[int] | None = None
        super().__init__(channel=channel, write_only=write_only, logger=logger, json=json)
        self._identity = 0, ""  # made anew in each process: a worker that was forked is not who made this manager

    # --- who this is ---------------------------------------------------------------------------

    @property
    def host_id(self) -> str:
        """Who has sent a message: another in each process, also in those that are forked when the manager is made."""
        pid = os.getpid()
        if self._identity[0] != pid:
            name, worker = uuid.uuid4().hex, cluster.worker
            self._identity = pid, name if worker is None else f"{name}.{worker.id}"
        return self._identity[1]

    @host_id.setter
    def host_id(self, value: str) -> None:
        self._identity = os.getpid(), value

    def set_server(self, server: Any) -> None:  # noqa: ANN401 - python-socketio has no types
        """Extends python-socketio's: begin when the worker boots, not with its first client."""
        super().set_server(server)  # type: ignore[misc]
        server.get_session = self.get_session
        server.save_session = self.save_session
        remember(self)

    def get_session(self, sid: str, namespace: str | None = None) -> Any:  # noqa: ANN401 - of the application
        """Return the session of a client, whichever worker serves it."""
        raise NotImplementedError

    def save_session(self, sid: str, session: Any, namespace: str | None = None) -> Any:  # noqa: ANN401 - as above
        """Keep the session of a client, whichever worker serves it."""
        raise NotImplementedError

    def begin_in_worker(self) -> None:
        """See :class:`~nodecluster_compat.socketio.boot.Beginning`."""
        if not self.write_only and not self.server.manager_initialized:
            self.server.manager_initialized = True
            self.initialize()

    def initialize(self) -> None:
        """Extends python-socketio's: once in each process."""
        if self._listens_in != os.getpid():
            self._listens_in = os.getpid()
            super().initialize()  # type: ignore[misc]

    def _wire(self) -> Wire:
        packet_class = getattr(self.server, "packet_class", None)
        pickles = isinstance(packet_class, type) and packet_class is not self._packet
        return Wire(self.json, pickles)

    # --- whom a message is for -----------------------------------------------------------------

    def home_of(self, sid: object) -> int | None:
        """Return the id of the worker that serves a client; ``None`` for what is no id of a client's."""
        return worker_of(sid) if isinstance(sid, str) else None

    @property
    def spans_hosts(self) -> bool:
        """Whether there are workers of other hosts: the number in a client's id is of one host alone."""
        return any(map(is_remote, self.members or ()))

    @property
    def own_members(self) -> frozenset[int]:
        """The other workers of this host."""
        return frozenset(one for one in self.members or () if not is_remote(one))

    def _target_of(self, told: Told) -> int:
        method = told["method"]
        if method == "callback":
            return self._senders.get(told["host_id"], host_worker(told["host_id"]))
        address = told.get("room") if method == "emit" else told.get("sid") if method in _OF_A_CLIENT else None
        home = self.home_of(only(address))
        if home is None or not self._may_serve(home):
            return ALL_OTHERS
        if self.spans_hosts:
            is_here = self._is_here({"sid": only(address), "namespace": told.get("namespace") or "/"})
            return NOWHERE if is_here else ALL_OTHERS
        is_own = self._seat is not None and home == self._seat.worker_id and not self.write_only
        return NOWHERE if is_own else home

    def is_sid_room(self, namespace: str, room: object) -> bool:
        """Extends python-socketio's: a client of another worker has a room of its own as well."""
        home = self.home_of(room)
        return super().is_sid_room(namespace, room) or (home is not None and self._may_serve(home))  # type: ignore[misc]

    def _may_serve(self, home: int) -> bool:
        """Whether there may be such a worker; if not, what looks like the id of one of its clients names a room."""
        if self.members is None or self.spans_hosts:
            return True
        return home in self.members or (self._seat is not None and home == self._seat.worker_id)

    def _way_of(self, told: Told) -> tuple[GroupSeat | None, int]:
        """Return by which seat, and to whom, a message goes to other workers; no seat: to nobody."""
        seat, target = self.take_seat(), self._target_of(told)
        if seat is None:
            self._warn_of_nobody()
        self._expect_nothing_in_vain(told)
        return (None if target == NOWHERE else seat), target

    def _warn_of_nobody(self) -> None:
        """Say once in each process that what is emitted is lost, where it cannot be for a client of its own."""
        if self.write_only and self._warned_in != os.getpid():
            self._warned_in = os.getpid()
            self._get_logger().warning(_NOBODY)  # type: ignore[attr-defined]

    def _packed(self, told: Told) -> bytes:
        encoded = self._encoded
        if encoded is not None and encoded[0] is told:
            self._encoded = None
            body = pack_event(*encoded)
            if body is not None:
                return body
        wire = self._wire()
        if told["method"] == "callback" and not wire.pickles:
            told = {**told, **pack_arguments(told["args"], self._packet)}
        return wire.encode(told)

    def _text_of(self, told: Told) -> str | None:
        """Return what each client reads of an event; ``None`` where python-socketio has to see to it."""
        text: str | None = told.get(ENCODED)
        if text is None and self._is_plain(told):
            data = [told["event"], *arguments_of(told)]
            try:
                text = self._packet(self._event_type, data, told["namespace"], binary=False).encode()
            except (TypeError, ValueError, RecursionError):
                return None  # said by whoever finds it where nothing is encoded here
            self._encoded = told, text
        return text

    def _is_plain(self, told: Told) -> bool:
        """Whether an event is JSON, the same for all clients."""
        if getattr(self.server, "packet_class", None) is not self._packet:
            return False
        return not told.get("callback") and told.get("binary") is False and "host_id" in told

    # --- the seat ------------------------------------------------------------------------------

    def take_seat(self) -> GroupSeat | None:
        """Return this manager's seat in its group; ``None`` where this process is no worker."""
        if self._seat_pid != os.getpid():
            self._seat = seat_of(self.channel)
            self._seat_pid = os.getpid() if self._seat is not None else 0
        return self._seat

    def _listen_by(self, put: Put) -> None:
        """Put what other workers tell into a queue, from now on."""
        seat = self.take_seat()
        former, self._put = self._put, put
        if seat is not None:
            seat.attach(put, former)
            if self._moves_in != os.getpid():  # it may listen anew
                self._moves_in = os.getpid()
                process.on("disconnecting", self._begin_moving)

    def _begin_moving(self) -> None:
        raise NotImplementedError

    def _tell(self, target: int, told: Told) -> None:
        """Tell another worker, or all; for small messages; does not wait, since the caller may hold a lock."""
        if self._seat is not None:
            self._seat.begin_post(self._packed(told), target, self._put)

    def _opened(self, envelope: Envelope) -> Told | None:
        """Return what python-socketio has to act on; act on the rest here."""
        try:
            if envelope.members is not None:
                self._members_changed(envelope.members)
                return None
            told = unpack_event(envelope.body) if is_encoded(envelope.body) else self._wire().decode(envelope.body)
            if is_remote(envelope.sender) and not self._spans(envelope.sender, told):
                return None
            act = self._acts.get(told["method"])
            if act is None:
                return self._unpacked(told, envelope.sender)
            act(self, envelope.sender, told)
        except Exception:  # noqa: BLE001 - whatever others tell, this goes on listening
            self._get_logger().exception("What worker %s told was not understood", envelope.sender)  # type: ignore[attr-defined]
        finally:
            if self._seat is not None:
                self._seat.took(envelope)
        return None

    def _spans(self, sender: int, told: Told) -> bool:
        """Whether what a worker of another host tells concerns this one; put it into this host's numbers."""
        return told["method"] not in self._of_one_host

    def _unpacked(self, told: Told, sender: int) -> Told | None:
        if told["method"] == "callback":
            told["args"] = unpack_arguments(told, self._packet)
        elif told["method"] == "emit":
            self._note_asker(told, sender)
        return told

    def _members_changed(self, members: frozenset[int]) -> None:
        """Others have come or gone: who is gone answers nothing, and its clients acknowledge nothing."""
        self.members = members
        with self._seat.lock if self._seat is not None else nullcontext():
            self._questions.members_changed(members)
        self._expect_nothing_of_the_gone(members)

    _of_one_host: frozenset[str] = frozenset()
    _acts: Mapping[str, Callable[[Any, int, Told], None]] = MappingProxyType(
        {"ask": AskedWorkers.told_ask, "answer": AskedWorkers.told_answer, "gone": Acknowledging.told_gone}
    )
