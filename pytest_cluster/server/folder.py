"""Make the folder of a cluster, for everything of it that is on disk."""

from __future__ import annotations

import os
import tempfile

from ..errors import StartError

__all__ = ["make_folder", "no_folder"]

SOCKET_PATH_BYTES = 107
LONGEST_NAME = len("/pc-xxxxxxxx/control")


def make_folder() -> str:
    """Return a new folder, whose path is short enough for the socket in it.

    :raises StartError: there is no place for it.
    """
    long = len(os.fsencode(tempfile.gettempdir())) + LONGEST_NAME > SOCKET_PATH_BYTES
    try:
        return tempfile.mkdtemp(prefix="pc-", dir="/tmp" if long else None)  # noqa: S108 - mkdtemp chooses the name
    except OSError as error:
        raise no_folder(error) from None


def no_folder(error: OSError) -> StartError:
    """Return what to raise when nothing can be written there."""
    return StartError(f"the cluster's folder cannot be made: {error}; TMPDIR says where it should be")
