"""Define Node's ``cluster.Worker``: the class of every worker object, which can be made by hand too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.emitter import Emitter

__all__ = ["Worker"]

_INT32 = 1 << 32


class Worker(Emitter):
    """A worker object.  ``cluster.fork()`` and ``cluster.worker`` give real ones; one made by hand is only a record.

    Source: Node's documentation of ``cluster``, class ``Worker``.

    Args:
        options: ``id`` (made a 32-bit integer; default 0), ``state`` (default ``"none"``), ``process`` (an emitter,
            whose ``error`` and ``message`` events are emitted here too); anything but a mapping counts as empty.
        more: the same as keywords.
    """

    id: int
    process: Any
    exited_after_disconnect: bool | None

    def __init__(self, options: object = None, **more: Any) -> None:
        super().__init__()
        given = {**(options if isinstance(options, Mapping) else {}), **more}
        self.id = _int32(given.get("id"))
        self._state = given.get("state") or "none"
        self.exited_after_disconnect = None
        self.process = given.get("process")
        if self.process is not None:
            self.process.on("error", lambda error: self.emit("error", error))
            self.process.on("message", lambda message, handle=None: self.emit("message", message, handle))

    @property
    def state(self) -> object:
        """What it was made with."""
        return self._state


def _int32(value: object) -> int:
    try:
        number = int(float(value or 0)) % _INT32  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return 0
    return number - _INT32 if number >= _INT32 // 2 else number
