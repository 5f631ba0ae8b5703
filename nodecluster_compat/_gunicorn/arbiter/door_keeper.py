"""Decide where the control socket is, and when this master has it: of two masters only the one in charge.

An old master keeps the path until the new one, ready, takes it in one step (a rename): nobody finds it absent.  When
the new master has gone, the old one is in charge again and takes the path back.  What another server holds is left
alone; this one tries again every now and then, and says so once.

The path may be on a disk that hangs: whatever touches it is done in the background (``socket_seeker``), and the main
loop is told what came of it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...base.variables import CONTROL_SOCKET
from ...errors import PathTaken
from .complaint import Complaint
from .current_settings import settings_in_force
from .socket_seeker import Found, Search, SocketSeeker

if TYPE_CHECKING:
    from ...machine.background import Background
    from ...machine.socket_path import SocketPath
    from ...operations.door import Door
    from .seat import Seat
    from .upgrading import Upgrade

__all__ = ["DoorKeeper"]

_LOOK_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 3.0
_BOOT_SECONDS: Final = 1.0  # for the disk, before the first worker is forked
_USUAL_MODE: Final = 0o600


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose door it is.

        Attributes:
            background: does what a disk may hold up.
            reexec_pid: of the new master that it started, or 0.
            master_pid: of the old master that started it, or 0.
        """

        background: Background
        reexec_pid: int
        master_pid: int


class DoorKeeper:
    """Opens and closes the door of one arbiter.

    Args:
        arbiter: whose it is.
        upgrade: knows which of two masters is in charge.
        door: is opened and closed.
    """

    def __init__(self, arbiter: _Seat, upgrade: Upgrade, door: Door) -> None:
        self._arbiter = arbiter
        self._upgrade = upgrade
        self._door = door
        self._seeker = SocketSeeker(arbiter.background, arbiter.loop, self._told)
        self._complaint = Complaint(arbiter.log.warning)
        self._place: SocketPath | None = None  # where the door is
        self._next_look = 0.0
        self._next_try = 0.0

    def begin(self) -> None:
        """Open the door before the first worker, which may hang while it boots; unless the disk takes its time."""
        self.turn()
        self._seeker.wait(_BOOT_SECONDS)

    def turn(self) -> None:
        """Once a turn of the main loop: see to it, every now and then, that the door is where it should be."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + (_AGAIN_SECONDS if self._seeker.is_busy else _LOOK_SECONDS)
        try:
            self._seek(now)
        except (OSError, ValueError) as error:  # no working directory, or no name of a user behind ~
            if not self._door.is_listening:
                self._complaint.say(f"Failed to start control socket: {error}")

    def _seek(self, now: float) -> None:
        wanted = self._wanted_path() if self._upgrade.is_in_charge else None
        if self._upgrade.is_in_charge and wanted is None:
            self._leave()  # at once, whatever the disk does
        elif self._seeker.is_busy:
            self._seeker.press()
        elif wanted is not None or self._door.is_listening:
            wanted = wanted if now >= self._next_try else None
            mode: int = getattr(self._arbiter.cfg, "control_socket_mode", _USUAL_MODE)
            self._seeker.seek(Search(self._place, wanted, mode, self._replaceable()))

    def _told(self, found: Found) -> None:
        """What came of a search."""
        if found.trouble is not None or found.sock is not None:
            self._next_try = time.monotonic() + _AGAIN_SECONDS
        if isinstance(found.trouble, PathTaken):
            self._complaint.say(
                f"No control socket for now: {found.trouble}. Give each server its own (control_socket)"
            )
        elif found.trouble is not None:
            self._complaint.say(f"Failed to start control socket: {found.trouble}")
        elif found.place is not None and found.sock is not None:
            self._leave()
            self._next_look = 0.0  # the settings may have changed meanwhile
            self._place = found.place
            self._door.listen(found.sock)
            self._complaint.withdraw()
            self._arbiter.log.info("Control socket listening at %s", found.place.path)
        elif found.is_lost and not self._upgrade.is_in_charge:
            self._leave()

    def _leave(self) -> None:
        self._door.stop_listening()
        place, self._place = self._place, None
        if place is not None:
            self._seeker.release(place)

    def close(self) -> None:
        """The server has ended: send the clients away, and let the path go, when the disk lets us."""
        self._door.close()
        self._seeker.close(self._place)

    def abandon(self) -> None:
        """In a forked child: all this is the parent's."""
        self._door.abandon()
        self._seeker.abandon()

    def _replaceable(self) -> frozenset[int]:
        """Return the processes that may lose the path."""
        arbiter = self._arbiter
        return frozenset({arbiter.pid, arbiter.master_pid, arbiter.reexec_pid} - {0})

    def _wanted_path(self) -> str | None:
        """Return where it is to be; ``None`` for nowhere.

        What the program says comes first, then gunicorn's own setting, then the environment.  A script's primary, and a
        gunicorn that has no such setting (before 25.1), have a control socket only if somebody names it.
        """
        settings: Any = self._arbiter.cfg
        own = settings_in_force().control_socket
        named = os.environ.get(CONTROL_SOCKET)
        if own:
            return os.path.abspath(own)
        if not self._arbiter.is_supervised or not hasattr(settings, "control_socket"):
            return os.path.abspath(named) if named else None
        if settings.control_socket_disable:
            return None
        usual = settings.settings["control_socket"].default
        given = named if named and settings.control_socket == usual else settings.control_socket
        return None if given is None else os.path.abspath(os.path.expanduser(given))
