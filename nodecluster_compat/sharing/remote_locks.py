"""Claim a lock on the server of several hosts as well, once the primary of this one has granted it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .holds import Places, free, value_of
from .keeper import Claim
from .redis_engine import space_of

if TYPE_CHECKING:
    from .keeper import Keeper
    from .lock_desk import Abandoned, LockWish

__all__ = ["HOLD_SECONDS", "RemoteLocks"]

HOLD_SECONDS: Final = 10.0
"""How long a lock without a lease is held by a process of which nobody hears any more."""


class RemoteLocks:
    """The locks that this process has on the server.

    Args:
        keeper: of this process.
        name: of the clusters that share the server.
        host: this one's id, the same in all its processes.
    """

    def __init__(self, keeper: Keeper, name: str, host: str) -> None:
        self._keeper = keeper
        self._space = space_of(name)
        self._host = host

    def claim(
        self,
        wish: LockWish,
        place: int,
        token: int,
        waits_until: float | None,
        got: Callable[[Exception | None, int | None], None],
        lost: Callable[[], None],
    ) -> Claim:
        """Get a place.

        Args:
            wish: what is wanted; its lease begins when it is met.
            place: which one this host's primary has given.
            token: by which.
            waits_until: when to give up.
            got: called once, with the token of the hold, or why there is none.
            lost: called when the hold has ended by itself.
        """
        claim = Claim(
            what=repr(wish.name),
            places=self._places(wish.name, wish.places),
            value=value_of(self._host, place, token),
            seconds=HOLD_SECONDS if wish.lease is None else wish.lease,
            is_renewed=wish.lease is None,
            got=got,
            lost=lost,
            waits_until=waits_until,
        )
        self._keeper.claim(claim)
        return claim

    def holds(self, claim: Claim) -> bool:
        """Whether a place is held, as far as this process can know."""
        return self._keeper.holds(claim)

    def release(self, claim: Claim) -> None:
        """Want or hold it no longer; waits for nobody."""
        self._keeper.release(claim)

    def let_go(self, abandoned: Abandoned) -> None:
        """Give back what a process of this host has held, which has ended."""
        places = self._places(abandoned.name, abandoned.places)
        value = value_of(self._host, abandoned.place, abandoned.token)
        self._keeper.do(partial(_free, places, value))

    def _places(self, name: str, places: int) -> Places:
        keys = tuple(f"{self._space}lock:{place}:{name}" for place in range(places))
        return Places(keys, f"{self._space}tokens")


def _free(places: Places, value: str, client: Any) -> None:  # noqa: ANN401 - redis-py's
    free(client, places.keys, value)
