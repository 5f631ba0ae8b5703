"""Tell the primary how its worker fares, whatever its engine: it listens, it is due, it leaves, it has finished.

Phases: booting (``online`` has been said, TERM is held back) → serving (``listening`` has been said) → draining (no
further connection, requests in flight finish: ``draining``) → finished (channel closed, so the primary tells
``disconnect``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..requests.served_listener import address_of

if TYPE_CHECKING:
    from ..arbiter.birth import Birth
    from ..requests.served_listener import AnyListener

__all__ = ["Membership"]


class Membership:
    """One worker's place in its cluster.

    Args:
        birth: what it was born with.
        due_after: so many requests; 0 for never.
    """

    def __init__(self, birth: Birth, due_after: int) -> None:
        self._birth = birth
        self._due_after = due_after

    def listens(self, number: int, listener: AnyListener) -> None:
        """The worker serves a listening socket; ``number`` is the primary's, 0 for one that is the worker's own."""
        self._birth.member.announce_listening(number, address_of(listener))

    def served(self, requests: int) -> None:
        """Note how many requests it has served; say once when it should serve no more."""
        if self._due_after and requests >= self._due_after:
            self._due_after = 0
            self._birth.member.announce_due()

    def ends(self, requests: int) -> None:
        """Note how many requests it has served, before anybody hears that it serves no further connection."""
        self._birth.heartbeat.note_served(requests)

    def leaves(self) -> None:
        """Say that it leaves by its own wish: ``max_requests``, a changed file."""
        self._birth.member.announce_leaving()

    def primary_gone(self) -> None:
        """The primary has closed the connection channel."""
        if self._birth.member.exited_after_disconnect is None:
            self._birth.member.lose_channel()

    def finish(self) -> None:
        """Close the channels: nothing is left to serve."""
        self._birth.member.finish()
        if self._birth.receiver is not None:
            self._birth.receiver.close()
