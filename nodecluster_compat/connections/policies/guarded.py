"""Fall back to round robin when a policy raises: an error in a choice must not stop the dealer."""

from __future__ import annotations

from ...base.log import Log
from ...base.records import Connection
from .base import Policy
from .round_robin import RoundRobin

__all__ = ["GuardedPolicy"]


class GuardedPolicy:
    """A policy until it raises, or chooses what is no worker's id; round robin from then on.

    Args:
        policy: the one that chooses.
        log: told once when it has failed.
    """

    def __init__(self, policy: Policy, log: Log) -> None:
        self._policy: Policy | None = policy
        self._log = log
        self._spare = RoundRobin()  # knows who is idle all the time

    def add(self, worker_id: int) -> None:
        """The worker is idle and may be chosen from now on."""
        self._spare.add(worker_id)
        if self._policy is not None:
            try:
                self._policy.add(worker_id)
            except Exception as error:  # noqa: BLE001 - whatever a policy raises
                self._failed(error)

    def remove(self, worker_id: int) -> None:
        """The worker is not idle any more, or does not serve."""
        self._spare.remove(worker_id)
        if self._policy is not None:
            try:
                self._policy.remove(worker_id)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)

    def choose(self, connection: Connection) -> int | None:
        """Return the worker for ``connection``, ``None`` to let it wait for anybody."""
        if self._policy is None:
            return self._spare.choose(connection)
        try:
            worker_id = _checked(self._policy.choose(connection))
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return self._spare.choose(connection)
        if worker_id is not None:
            self._spare.remove(worker_id)
        return worker_id

    def _failed(self, error: Exception) -> None:
        name = type(self._policy).__name__
        self._policy = None
        self._log.error(
            "The policy %s failed: %r. Connections are dealt round robin from now on.", name, error, exc_info=error
        )


def _checked(worker_id: object) -> int | None:
    if worker_id is None or (isinstance(worker_id, int) and not isinstance(worker_id, bool)):
        return worker_id
    raise TypeError(f"expected choose() to return the id of a worker or None, got {worker_id!r}")
