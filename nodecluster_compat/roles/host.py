"""Define what the primary asks of the server around it: the arbiter answers, in server mode and in script mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..lifecycle.rollout import ReloadReport
    from .status import ClusterStatus
    from .worker_handle import WorkerHandle

__all__ = ["Host"]


if TYPE_CHECKING:

    class Host(Protocol):
        """The server around the primary, as the primary needs it."""

        def stand_in(self) -> WorkerHandle | None:
            """While an ``exit`` is told of a worker that was replaced: the worker that took its place."""

        def spawn_soon(self, worker: WorkerHandle) -> None:
            """``cluster.fork()`` made this worker: start its process, now or on the next turn.

            Raises:
                SettingsError: no process can be started with these settings.
            """

        def is_dealing(self) -> bool:
            """Whether the primary deals connections, rather than the kernel."""

        def message_limit(self) -> int:
            """Return how many bytes a message of a worker that is made now may have."""

        def is_binding(self) -> bool:
            """Whether the primary binds what its workers ask for, as in script mode."""

        def give_up_requested(self, reason: str) -> None:
            """Give up the workers that ``cluster.fork()`` has made and that have no process yet."""

        def check_settings(self, names: Iterable[str]) -> None:
            """``setup_primary()`` was given settings of these names.

            Raises:
                SettingsError: one of them can have no effect here.
            """

        def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
            """The worker was asked to leave, within so many seconds or the usual limit: see to it that it does."""

        def worker_listens(self, worker: WorkerHandle) -> None:
            """A worker serves a first, or a further, socket."""

        def worker_changed(self) -> None:
            """A worker will end: look again at how many there should be."""

        def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
            """``cluster.reload()``: on the next turn, as HUP; call back when it has ended, however it has."""

        def status(self) -> ClusterStatus:
            """Return how the cluster is."""

        def finish(self) -> None:
            """Every worker is gone and ``cluster.disconnect()`` was asked: end the server."""
