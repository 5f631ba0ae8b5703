"""Put the status into a document: what the status file, the control socket and its HTTP answers have in common.

``schema`` is 1 as long as keys are only added.
"""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any, Final

from ..base.version import __version__
from ..roles.status import ClusterStatus

__all__ = ["SCHEMA", "document_of"]

SCHEMA: Final = 1
_NAMES: Final = tuple(field.name for field in fields(ClusterStatus))


def document_of(status: ClusterStatus) -> dict[str, Any]:
    """Return the status as a mapping for ``encode_json``: the records in it stay records."""
    about = {"schema": SCHEMA, "name": "nodecluster-compat", "version": __version__, "hostname": os.uname().nodename}
    return {**about, **{name: getattr(status, name) for name in _NAMES}}
