"""Keep the admin address: what can be read of the server by HTTP, for programs that cannot use a unix socket.

Nothing but ``GET`` and ``HEAD`` is answered there, by the routes that the control socket has, so nobody who reaches it
can change anything.  Clients are bounded as those of the control socket are.

Of two masters the one in charge has it: an old master gives it up as soon as the new one is ready.  An address that
somebody else has is no reason not to serve: it is said once, and tried again.
"""

from __future__ import annotations

import os
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from ...base.host_port import host_port
from ...base.variables import ADMIN
from ...machine.tcp_address import TcpAddress
from ...operations.control_frames import encode_refusal
from ...operations.door import BACKLOG, Door
from ...operations.local_routes import LocalRoutes
from .complaint import Complaint
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...operations.control_frames import Frame
    from ...operations.door import Answer
    from ...operations.routes import Routes
    from .seat import Seat
    from .upgrading import Upgrade

__all__ = ["AdminKeeper"]

_AGAIN_SECONDS: Final = 1.0
_HANDOVER_SECONDS: Final = 5.0  # in which an old master gives the address up


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose address it is.

        Attributes:
            master_pid: of the old master that started it, or 0.
        """

        master_pid: int


class AdminKeeper:
    """Opens and closes the admin address of one arbiter.

    Args:
        arbiter: whose it is.
        upgrade: knows which of two masters is in charge.
        routes: what is answered there.
    """

    def __init__(self, arbiter: _Seat, upgrade: Upgrade, routes: Routes) -> None:
        self._arbiter = arbiter
        self._upgrade = upgrade
        self._routes = LocalRoutes(routes)
        self._door = Door(arbiter.loop, arbiter.log, _refuse, self._routes)
        self._complaint = Complaint(arbiter.log.error)
        self._opened: str | None = None  # as it was asked for
        self._next_try = 0.0
        self._wanted_since = 0.0

    def turn(self) -> None:
        """Once a turn of the main loop: listen where the settings say."""
        wanted = _wanted_address() if self._upgrade.is_in_charge else None
        if self._opened is not None and self._opened != wanted:
            self._door.stop_listening()
            self._opened = None
        now = time.monotonic()
        if wanted is not None and self._opened is None and now >= self._next_try:
            self._next_try = now + _AGAIN_SECONDS
            self._wanted_since = self._wanted_since or now
            is_handover = self._arbiter.master_pid != 0 and now - self._wanted_since < _HANDOVER_SECONDS
            self._open(wanted, is_handover=is_handover)

    def _open(self, wanted: str, *, is_handover: bool) -> None:
        try:
            address = TcpAddress(*host_port(wanted))
            self._door.listen(address.take(BACKLOG))
        except ValueError as error:
            source = "admin" if settings_in_force().admin else ADMIN
            self._complaint.say(f"No admin address: expected {source} to be {error}")
        except OSError as error:
            if not is_handover:
                sentence = f"No admin address for now, {wanted} cannot be had: {error}. Choose another one (admin)"
                self._complaint.say(sentence)
        else:
            self._opened = wanted
            self._routes.is_loopback = ip_address(address.host).is_loopback
            self._complaint.withdraw()
            self._arbiter.log.info("Admin address: http://%s/", address)

    def close(self) -> None:
        """The server has ended."""
        self._door.close()

    def abandon(self) -> None:
        """In a forked child: all this is the parent's."""
        self._door.abandon()


def _wanted_address() -> str | None:
    """Return the address that is asked for: what the program says comes before the environment."""
    return settings_in_force().admin or os.environ.get(ADMIN) or None


def _refuse(frame: Frame, answer: Answer) -> None:
    answer(encode_refusal(frame.id, "expected an HTTP GET: commands are for the control socket"))
