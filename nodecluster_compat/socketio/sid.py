"""Put the worker's id into the session ids that Engine.IO makes, so that every later request finds its worker.

Installed in a worker when its application is loaded, and only if that has imported Engine.IO.  The ids of Socket.IO
come from the same function, so they name their worker too, and one message reaches it.  A program that overrides
``generate_id`` must call Engine.IO's.  ``NODECLUSTER_PLAIN_SIDS=1`` leaves them as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from ..base.variables import PLAIN_SIDS
from ..routing.engineio import stamp

__all__ = ["install", "is_wanted"]

_MODULE: Final = "engineio.base_server"
_MARK: Final = "nodecluster_worker_id"


def is_wanted() -> bool:
    """Whether nobody has opted out."""
    return os.environ.get(PLAIN_SIDS, "") in ("", "0")


def install(worker_id: int) -> bool:
    """Stamp every session id that is made from now on.

    Args:
        worker_id: the id of this worker.

    Returns:
        Whether ids are stamped: Engine.IO is imported, and nobody has opted out.
    """
    module = sys.modules.get(_MODULE)
    if module is None or not is_wanted():
        return False
    server = module.BaseServer
    original = server.generate_id
    if getattr(original, _MARK, None) != worker_id:
        server.generate_id = _stamping(getattr(original, "__wrapped__", original), worker_id)
    return True


def _stamping(original: Callable[[Any], str], worker_id: int) -> Callable[[Any], str]:
    def generate_id(self: Any) -> str:  # noqa: ANN401 - Engine.IO has no types
        """Generate a unique session id that names this worker."""
        return stamp(original(self), worker_id)

    generate_id.__wrapped__ = original  # type: ignore[attr-defined]
    setattr(generate_id, _MARK, worker_id)
    return generate_id
