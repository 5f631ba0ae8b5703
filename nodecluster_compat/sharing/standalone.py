"""Share in a program that has no cluster: it is its own exchange, and its threads are all that share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .direct_side import DirectSide
from .exchange import Exchange
from .lock_desk import LockDesk, first_token
from .posts import LocalPost
from .remote_desk import RemoteDesk

if TYPE_CHECKING:
    from ..base.log import Log
    from .subscriptions import Subscribers
    from .verbs import Verbs

__all__ = ["standalone_side"]


def standalone_side(subscribers: Subscribers, verbs: Verbs, log: Log) -> DirectSide:
    """Return the side of a program by itself.

    Args:
        subscribers: of this process.
        verbs: what the exchange can ask of this process.
        log: told of slow handlers.
    """
    post = LocalPost()
    exchange = Exchange(post, log, is_alone=True)
    exchange.verbs.on("broadcast", Any, lambda *_: None)  # there is nobody else
    RemoteDesk(exchange, LockDesk(exchange, first_token(), _OwnNames()))
    return DirectSide(exchange, post, post, subscribers, verbs, log)


class _OwnNames:
    """Names that no other primary can hold."""

    def take(self, name: str) -> bool:
        return True

    def give_back(self, name: str) -> None:
        """Nobody else waits for it."""
