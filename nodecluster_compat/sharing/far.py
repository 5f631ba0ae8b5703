"""Have the worker that leads carry topics to other hosts, where the environment names a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ClusterError, SettingsError, StoreUnavailable
from .bridge import Bridge
from .exchange import Caller, Returning, Verbs
from .server import check_installed
from .server_address import asked_name, asked_url
from .wire import encode

if TYPE_CHECKING:
    from .leader import Leader
    from .sides import Around

__all__ = ["Far"]


class Far:
    """This process' part in it.

    Attributes:
        bridge: to the server, in a worker that leads; ``None`` elsewhere.
    """

    def __init__(self, sharing: Around, verbs: Verbs, leader: Leader) -> None:
        self.bridge: Bridge | None = None
        self._sharing = sharing
        self._leader = leader
        self._is_registered = False
        verbs.on("afar", bytes, self._afar)

    def attached(self) -> None:
        """This process is a worker that runs."""
        if asked_url() and not self._is_registered:
            self._is_registered = True
            self._leader.elected(self._begin)
            self._leader.lost(self._end)

    def _begin(self, _: int) -> None:
        try:
            check_installed()
            self.bridge = Bridge(asked_url(), asked_name(), self._inject, self._sharing.log)
        except (SettingsError, StoreUnavailable) as error:
            self._sharing.log.error("Topics stay on this host: %s", error)
            return
        self.bridge.begin()
        self._sharing.side.call("bridge", encode(True), None)

    def _end(self) -> None:
        bridge, self.bridge = self.bridge, None
        if bridge is not None:
            self._sharing.side.call("bridge", encode(False), None)
            bridge.end()

    def _afar(self, _: Caller, payload: bytes, __: Returning) -> None:
        if self.bridge is not None:
            self.bridge.publish(payload)

    def _inject(self, payload: bytes) -> None:
        try:
            self._sharing.side.call("inject", encode(payload, "a message", 2 * len(payload) + 64), None)
        except ClusterError:  # the channel is closed, so this worker ends
            return
