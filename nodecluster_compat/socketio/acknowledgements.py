"""Forget the callbacks of clients that have gone: whoever awaits an acknowledgement in vain is told so.

gone            a client has left from whom the receiver awaits an acknowledgement
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..sharing.group_desk import ALL_OTHERS
from ..sharing.remote_groups import is_remote
from .asked_workers import AskedWorkers
from .wire import Told

__all__ = ["Acknowledging", "host_worker", "only"]


class Acknowledging(AskedWorkers):
    """What a manager knows of acknowledgements; mixed in front of one of python-socketio's."""

    callbacks: dict[str, Any]  # by the ids of clients
    write_only: bool

    def __init__(self, **options: Any) -> None:
        self._ack_askers: dict[str, set[int]] = {}
        self._senders: dict[str, int] = {}  # by their host_id, who await acknowledgements on other hosts
        super().__init__(**options)

    @property
    def spans_hosts(self) -> bool:
        """See :class:`~nodecluster_compat.socketio.shared.Clustered`."""
        raise NotImplementedError

    def home_of(self, sid: object) -> int | None:
        """See :class:`~nodecluster_compat.socketio.shared.Clustered`."""
        raise NotImplementedError

    def _note_asker(self, told: Told, sender: int) -> None:
        """A worker awaits an acknowledgement of a client here: it is told if the client leaves without, or has left."""
        asker = host_worker(told.get("host_id")) if told.get("callback") else ALL_OTHERS
        if asker == ALL_OTHERS:
            return
        if is_remote(sender):
            asker = self._senders[str(told["host_id"])] = sender
        sid = only(told.get("room"))
        if isinstance(sid, str) and self._has_client(sid):
            self._ack_askers.setdefault(sid, set()).add(asker)
        elif self._has_left(sid):
            self._tell(asker, {"method": "gone", "sid": sid})

    def _has_client(self, sid: object) -> bool:
        """Whether a client of this worker has this id, in whatever namespace."""
        return any(self._is_here({"sid": sid, "namespace": one}) for one in list(self.rooms))

    def _has_left(self, sid: object) -> bool:
        """Whether this is the id of a client of this worker that is gone."""
        if self._seat is None or self.write_only or self.spans_hosts or self.home_of(sid) != self._seat.worker_id:
            return False
        return not self._has_client(sid)

    def _expect_nothing_in_vain(self, told: Told) -> None:
        """Forget the callback of an event to a client of this worker that is gone: nobody acknowledges that."""
        if told.get("callback") and self._has_left(sid := only(told["room"])):
            self.callbacks.pop(str(sid), None)

    def basic_disconnect(self, sid: str, namespace: str, **options: Any) -> Any:  # noqa: ANN401 - python-socketio's
        """Extends python-socketio's: who awaits an acknowledgement of this client awaits it in vain."""
        for worker_id in self._ack_askers.pop(sid, ()):
            self._tell(worker_id, {"method": "gone", "sid": sid})
        return super().basic_disconnect(sid, namespace, **options)  # type: ignore[misc]

    def told_gone(self, _: int, told: Told) -> None:
        """A client of another worker has gone, and acknowledges nothing."""
        self.callbacks.pop(told["sid"], None)

    def _expect_nothing_of_the_gone(self, members: Collection[int]) -> None:
        """Only these other workers are left."""
        own = self._seat.worker_id if self._seat is not None else 0
        self._senders = {name: one for name, one in self._senders.items() if one in members}
        for sid in list(self.callbacks) if not self.spans_hosts else ():
            home = self.home_of(sid)
            if home is not None and home != own and home not in members:
                self.callbacks.pop(sid, None)


def only(address: object) -> object:
    """Return the one room of an address, ``None`` for several."""
    if isinstance(address, list | tuple):
        return address[0] if len(address) == 1 else None
    return address


def host_worker(host_id: object) -> int:
    """Return the id of the worker that has a ``host_id``; ``ALL_OTHERS`` where that names none."""
    _, _, worker_id = str(host_id).partition(".")
    return int(worker_id) if worker_id.isdigit() and len(worker_id) <= 9 else ALL_OTHERS
