"""Put our arbiter in place under the stock ``gunicorn`` command.

gunicorn has no setting for an arbiter class, and builds its own before it imports the worker class.  What
is left without touching a private name: ``Worker.check_config(cfg, log)`` is called just before the first
fork, and the ``when_ready`` hook right after, with the arbiter.  So ``check_config`` puts a step of ours in
front of the user's hook, and that step turns the arbiter into a cluster arbiter by assigning its class, made on
the spot from our mixin and whatever class the arbiter already had (a custom application may bring its own).

Rejected: patching ``gunicorn.arbiter.Arbiter`` (process-wide), walking the stack from ``Worker.setup`` (frame
inspection), replacing the name in ``gunicorn.app.base`` (too late: it has been looked up).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import SettingsError
from ...roles.cluster import cluster
from ...sharing.server_address import check_settings
from .cluster_arbiter import ClusterArbiter, adopt
from .dealing_settings import check_dealing
from .finalisation import finalise_as_python_does

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["check_config"]

finalise_as_python_does()  # when the worker class is imported: gunicorn has not loaded an application yet


def check_config(cfg: Settings) -> None:
    """Prepare the arbiter of this configuration for adoption, or stop at start with a sentence.

    Raises:
        RuntimeError: settings that cannot work; gunicorn prints the sentence and exits with 1.
    """
    try:
        _refuse_what_cannot_work(cfg)
    except SettingsError as error:
        raise RuntimeError(f"nodecluster-compat: {error}") from error
    users_hook: Callable[[Any], Any] = cfg.when_ready

    def when_ready(server: ClusterArbiter) -> None:
        adopt(server)
        users_hook(server)

    cfg.set("when_ready", when_ready)


def _refuse_what_cannot_work(cfg: Settings) -> None:
    if not sys.platform.startswith("linux"):
        raise SettingsError(f"expected Linux (epoll and SOCK_SEQPACKET), got {sys.platform}: use -k gevent here")
    if cfg.reuse_port and cluster.asks_for_round_robin:
        raise SettingsError(
            "expected either reuse_port or round robin, got both: with reuse_port every worker binds a socket of its "
            "own and the kernel chooses; drop reuse_port, or set cluster.scheduling_policy = cluster.SCHED_NONE"
        )
    if cfg.reuse_port:
        cluster.scheduling_policy = cluster.SCHED_NONE
    cluster.freeze_policy()
    check_settings()
    check_dealing()
