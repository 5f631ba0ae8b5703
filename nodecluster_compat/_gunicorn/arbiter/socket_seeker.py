"""Take the path of the control socket, look after it and let it go, in the background.

So a disk that hangs holds up neither the boot, nor the main loop, nor the end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from ...machine.socket_path import SocketPath
from ...operations.door import BACKLOG

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from ...base.loop import Loop
    from ...machine.background import Background

__all__ = ["Found", "Search", "SocketSeeker"]

_SEARCH: Final = "control socket"
_RELEASE: Final = "control socket released"


class Search(NamedTuple):
    """The path to look at, and what is expected there.

    Attributes:
        place: where the door is now.
        wanted: where it is to be; ``None`` leaves it where it is.
        mode: the permissions of the socket.
        replaceable: the processes that may lose the path.
    """

    place: SocketPath | None
    wanted: str | None
    mode: int
    replaceable: frozenset[int]


class Found(Struct):
    """The result of a search.

    Attributes:
        search: that was made.
        is_lost: whether the door is at a path that leads to somebody else, or nowhere.
        place: which was taken.
        sock: what listens there.
        trouble: why it could not be taken.
    """

    search: Search
    is_lost: bool = False
    place: SocketPath | None = None
    sock: _socket.socket | None = None
    trouble: Exception | None = None


class SocketSeeker:
    """Does what touches the path, one search at a time.

    Args:
        background: where it is done.
        loop: where it is told.
        told: called with what has come of each search.
    """

    def __init__(self, background: Background, loop: Loop, told: Callable[[Found], None]) -> None:
        self._background = background
        self._loop = loop
        self._told = told
        self._sought: SocketPath | None = None  # by the search under way, or the last one
        self._found: Found | None = None
        self.is_busy = False

    def seek(self, search: Search) -> None:
        """Look whether the door is where it should be, and take the path that is wanted."""
        self.is_busy = True
        self._background.do(_SEARCH, partial(self._seek, search))

    def wait(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the search under way, and tell what has come of it."""
        if self.is_busy and self._background.flush(seconds):
            self._tell()

    def press(self) -> None:
        """See to it that the search goes on, where the system had no thread for it."""
        self._background.flush(0.0)

    def release(self, place: SocketPath) -> None:
        """Remove a path, if it is this process's."""
        self._background.do(f"{_RELEASE} {place.path}", place.release)

    def close(self, place: SocketPath | None) -> None:
        """Remove the path, and what the search under way may have taken; tell nobody any more."""
        self.is_busy = True
        self._found = None
        self._background.do(_SEARCH, _nothing)  # in place of a search that waits
        self._background.do(_RELEASE, partial(self._release_all, place))

    def abandon(self) -> None:
        """In a forked child: close what the search under way has opened."""
        if self._sought is not None:
            self._sought.abandon()

    def _tell(self) -> None:
        found, self._found = self._found, None
        if found is not None:
            self.is_busy = False
            self._told(found)

    # --- on the thread -------------------------------------------------------------------------

    def _seek(self, search: Search) -> None:
        found = Found(search, search.place is not None and not search.place.is_ours)
        try:
            if search.wanted is not None and (_is_elsewhere(search) or found.is_lost):
                self._sought = place = SocketPath(search.wanted, search.mode)
                found.sock = place.take(BACKLOG, search.replaceable.__contains__)
                found.place = place
        except Exception as error:  # noqa: BLE001 - a path or a mode that cannot be one, say; whoever asked tells it
            found.trouble = error
        finally:
            self._found = found
            self._loop.call_soon_threadsafe(self._tell)

    def _release_all(self, place: SocketPath | None) -> None:
        for one in (place, self._sought):
            if one is not None:
                one.abandon()
                one.release()


def _is_elsewhere(search: Search) -> bool:
    return search.place is None or (search.place.path, search.place.mode) != (search.wanted, search.mode)


def _nothing() -> None:
    """Do what is to be done in place of a search."""
