"""Answer what the primary asks of its host (:class:`~nodecluster_compat.roles.host.Host`) otherwise than server mode.

Under Node's rules nobody is replaced, nothing is reloaded, and a worker that leaves takes what it takes.
"""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...errors import NotInCluster, SettingsError
from ...roles.cluster import SCHED_RR, cluster
from ...roles.settings import REPLACING_SETTINGS
from ..arbiter.hosting import Hosting
from ..arbiter.worker_limits import KILL_MARGIN

if TYPE_CHECKING:
    from ...roles.worker_handle import WorkerHandle
    from ..gunicorn_types import GunicornLog

__all__ = ["ScriptHosting"]


class ScriptHosting(Hosting):
    """The arbiter of a script as the host of its primary."""

    is_supervised = False

    log: GunicornLog

    def stand_in(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: nobody is replaced here."""

    def give_up_requested(self, reason: str) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: here a worker that was asked for has a process."""

    def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
        """See ``Host``: unless told otherwise it takes what it takes, as in Node."""
        if timeout is not None:
            self.loop.call_later(timeout + KILL_MARGIN, self._kill_late_drain, worker.id, timeout)

    def _kill_late_drain(self, worker_id: int, timeout: float) -> None:
        """The worker did not even leave: it is blocked.  One that has left may do what it likes, as in Node."""
        worker = self.primary.registry.by_id.get(worker_id)
        if worker is not None and worker.is_connected():
            self.log.error("Worker %s did not disconnect within %g s: killed", worker.id, timeout)
            worker.kill(signals.SIGKILL)

    def worker_listens(self, worker: WorkerHandle) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: it shows in the status."""
        self.roster.listens(worker, time.monotonic())

    def reload_soon(self, callback: object) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        raise NotInCluster(
            "cluster.reload() belongs to server mode: a script forks new workers and disconnects the old"
        )

    def check_settings(self, names: Iterable[str]) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: nobody is replaced here."""
        without_effect = sorted(REPLACING_SETTINGS.intersection(names))
        if without_effect:
            raise SettingsError(
                f"expected settings that have an effect in script mode, got {', '.join(without_effect)}: a script "
                "replaces its workers itself; use server mode, or leave it out"
            )
        if "routing" in names:
            raise SettingsError(
                "expected settings that have an effect in script mode, got routing: servers of a script do not only "
                "speak HTTP; use server mode, or leave it out"
            )

    def worker_changed(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: nobody keeps a number here."""

    def is_dealing(self) -> bool:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return cluster.freeze_policy() == SCHED_RR

    def finish(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: the primary ends by itself when nothing is left."""
