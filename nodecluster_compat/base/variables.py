"""Name the environment variables that both a server and its operators read."""

from __future__ import annotations

from typing import Final

__all__ = ["ADMIN", "CONTROL_SOCKET"]

CONTROL_SOCKET: Final = "NODECLUSTER_CONTROL_SOCKET"
"""The path of the control socket: where a server puts it that has no other word, and where operators look."""

ADMIN: Final = "NODECLUSTER_ADMIN"
"""The admin address of a server that has no other word."""
