"""Write the status of the cluster into a file, for the programs around the server."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Final

from msgspec import to_builtins

from .status_document import document_of

if TYPE_CHECKING:
    from ..roles.status import ClusterStatus

__all__ = ["write_status"]

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_status(status: ClusterStatus, path: str) -> None:
    """Write the status as JSON, so that a reader finds the old file or the new one, never a part.

    Everybody may read it, less the umask.  It is a new file each time: whoever may write in that folder can replace it,
    but cannot have this process write into a file of his choice.

    Raises:
        OSError: it cannot be written; the old file, if any, is as it was.
    """
    draft = f"{path}.{status.pid}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)  # of a process that had this pid and was killed
        with open(os.open(draft, _NEW_FILE, 0o644), "w", encoding="utf-8") as file:
            json.dump(to_builtins(document_of(status)), file)  # with blanks: people search it with grep
            file.write("\n")
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
