"""Decide where the control socket is, and when this master has it: of two masters only the one in charge.

An old master keeps the path until the new one, ready, takes it in one step (a rename): nobody finds it absent.  When
the new master has gone, the old one is in charge again and takes the path back.  What another server holds is left
alone; this one tries again every now and then, and says so once.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...base.variables import CONTROL_SOCKET
from ...errors import PathTaken
from ...machine.socket_path import SocketPath
from .complaint import Complaint
from .current_settings import settings_in_force
from .seat import Seat

if TYPE_CHECKING:
    from ...operations.door import Door
    from .upgrading import Upgrade

__all__ = ["DoorKeeper"]

_LOOK_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 3.0
_USUAL_MODE: Final = 0o600


class _Seat(Seat, Protocol):
    """The arbiter, whose door it is.

    Attributes:
        reexec_pid: of the new master that it started, or 0.
        master_pid: of the old master that started it, or 0.
    """

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
        self._complaint = Complaint(arbiter.log.warning)
        self._path: str | None = None  # where it was opened
        self._next_look = 0.0
        self._next_try = 0.0

    def turn(self) -> None:
        """Once a turn of the main loop: see to it, every now and then, that the door is where it should be."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        if not self._upgrade.is_in_charge:
            if self._door.is_listening and self._door.is_lost:
                self._door.stop_listening()
            return
        if self._door.is_listening and not self._door.is_lost and not self._is_elsewhere():
            return
        if now >= self._next_try:
            self._next_try = now + _AGAIN_SECONDS
            self._open()

    def _open(self) -> None:
        mode: int = getattr(self._arbiter.cfg, "control_socket_mode", _USUAL_MODE)
        try:
            path = self._wanted_path()  # fails where the working directory has been removed
            if path is None:
                self._door.stop_listening()
                return
            self._door.listen(SocketPath(path, mode), self._may_replace)
        except PathTaken as error:
            self._complaint.say(f"No control socket for now: {error}. Give each server its own (control_socket)")
        except OSError as error:
            self._complaint.say(f"Failed to start control socket: {error}")
        else:
            self._path = path
            self._complaint.withdraw()
            self._arbiter.log.info("Control socket listening at %s", path)

    def _is_elsewhere(self) -> bool:
        """Whether a reload has said another path."""
        try:
            return self._wanted_path() != self._path
        except OSError:  # the working directory has been removed
            return False

    def _may_replace(self, holder: int) -> bool:
        arbiter = self._arbiter
        return holder != 0 and holder in (arbiter.pid, arbiter.master_pid, arbiter.reexec_pid)

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
        return os.path.abspath(os.path.expanduser(given))
