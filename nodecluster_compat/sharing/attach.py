"""Make a primary share with its workers: called once by the server around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .exchange import Exchange
from .members import sharing
from .workers import Workers

if TYPE_CHECKING:
    from ..base.emitter import Origin
    from ..base.log import Log
    from ..roles.primary import Primary

__all__ = ["share"]


def share(primary: Primary, log: Log, is_own: Callable[[Origin], bool]) -> Exchange:
    """Give a primary its exchange.

    Args:
        primary: that, which has no worker yet.
        log: told what goes wrong.
        is_own: whether what was registered from there is the primary's, not that of a preloaded application.
    """
    exchange = Exchange(primary.loop, log)
    Workers(primary, exchange, log)
    primary.keepers.append(sharing)
    sharing.become_primary(primary, exchange, log, is_own)
    return exchange
