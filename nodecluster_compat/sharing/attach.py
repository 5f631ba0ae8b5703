"""Make a primary share with its workers: called once by the server around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..errors import StoreUnavailable
from .exchange import Exchange
from .group_desk import GroupDesk
from .leader_desk import LeaderDesk
from .lock_desk import LockDesk, first_token
from .once_desk import OnceDesk
from .remote import import_all
from .remote_desk import RemoteDesk
from .server_address import check_settings, is_asked
from .this_process import sharing
from .verbs import Moment
from .worker_peers import WorkerPeers

if TYPE_CHECKING:
    from ..base.handler_calls import Origin
    from ..base.log import Log
    from ..machine.state_folder import StateFolder
    from ..roles.primary import Primary

__all__ = ["share"]


def _hold(folder: StateFolder, log: Log, *_: object) -> None:
    """A worker uses the folder, which is kept from now on as long as this primary lives."""
    try:
        folder.hold()
    except StoreUnavailable as error:
        log.error("The state of the cluster may not outlive its workers: %s", error)


def share(
    primary: Primary, log: Log, folder: StateFolder, is_own: Callable[[Origin], bool], is_ready_at: Moment
) -> Exchange:
    """Give a primary its exchange.

    Args:
        primary: that, which has no worker yet.
        folder: what it has in common with another primary during an upgrade.
        log: told what goes wrong.
        is_own: whether what was registered from there is the primary's, not that of a preloaded application.
        is_ready_at: when a worker can do what one does for all: once it listens, or as soon as it runs.

    Raises:
        SettingsError: the environment names a server of other hosts that cannot be.
    """
    check_settings()
    exchange = Exchange(primary.loop, log)
    remote = RemoteDesk(exchange, LockDesk(exchange, first_token(), folder))
    LeaderDesk(exchange, first_token(), folder, is_ready_at)
    OnceDesk(exchange, folder, is_ready_at)
    groups = GroupDesk(exchange)
    if is_asked():
        from .remote_groups import RemoteGroups

        import_all()
        exchange.fan_out.has_hosts = True
        RemoteGroups(exchange, groups, remote)
    exchange.verbs.on("folder", None, partial(_hold, folder, log))
    WorkerPeers(primary, exchange, log)
    primary.keepers.append(sharing)
    sharing.become_primary(primary, exchange, folder, log, is_own)
    return exchange
