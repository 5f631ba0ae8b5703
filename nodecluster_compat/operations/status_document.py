"""Put the status into a document: what the status file, the control socket and its HTTP answers have in common.

``schema`` is 1 as long as keys are only added.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ..base.version import __version__

if TYPE_CHECKING:
    from ..roles.status import ClusterStatus

__all__ = ["SCHEMA", "document_of"]

SCHEMA: Final = 1


def document_of(status: ClusterStatus) -> dict[str, Any]:
    """Return the status as a mapping that JSON can hold."""
    about = {"schema": SCHEMA, "name": "nodecluster-compat", "version": __version__, "hostname": os.uname().nodename}
    return {**about, **asdict(status)}
