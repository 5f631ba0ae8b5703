"""Name the environment variables that this package reads, all of them.

Those of other programs stand where they are read: ``WEB_CONCURRENCY``, ``NOTIFY_SOCKET``, ``TERM`` and their like.
"""

from __future__ import annotations

from typing import Final

# --- a user sets these: docs/settings.md --------------------------------------------------------------

ADMIN: Final = "NODECLUSTER_ADMIN"
"""The admin address of a server that has no other word."""

BUS: Final = "NODECLUSTER_BUS"
"""The URL of the Redis or Valkey that several hosts share."""

CONTROL_SOCKET: Final = "NODECLUSTER_CONTROL_SOCKET"
"""The path of the control socket: where a server puts it that has no other word, and where operators look."""

DURABLE_BYTES: Final = "NODECLUSTER_DURABLE_BYTES"
"""How many bytes of durable messages may wait on the server of :data:`BUS`."""

NAME: Final = "NODECLUSTER_NAME"
"""The cluster's name on the server of :data:`BUS`."""

NATIVE: Final = "NODECLUSTER_NATIVE"
"""``0`` leaves the C extension alone."""

PLAIN_SIDS: Final = "NODECLUSTER_PLAIN_SIDS"
"""``1`` leaves session ids as Engine.IO makes them, without the worker's id."""

PLAIN_WEBSOCKETS: Final = "NODECLUSTER_PLAIN_WEBSOCKETS"
"""``1`` leaves websockets as Engine.IO writes them."""

POLICY: Final = "NODECLUSTER_POLICY"
"""Who gets a connection, where ``cluster.setup_primary()`` does not say."""

ROUTING: Final = "NODECLUSTER_ROUTING"
"""Whose a request is, where ``cluster.setup_primary()`` does not say."""

SCHED_POLICY: Final = "NODE_CLUSTER_SCHED_POLICY"
"""Node's: ``rr``, or ``none``, by which workers accept for themselves."""

STORE_BYTES: Final = "NODECLUSTER_STORE_BYTES"
"""How many bytes the store of one host has."""

# --- who starts a process sets these for it -----------------------------------------------------------

JOURNAL_FD: Final = "NODECLUSTER_JOURNAL_FD"
"""An open descriptor to which the primary writes its journal."""

READY_FD: Final = "NODECLUSTER_READY_FD"
"""A descriptor by which the primary that an upgrade starts says that it is ready."""

STATE: Final = "NODECLUSTER_STATE"
"""The folder of the primary that is being upgraded: its successor uses it, too."""

TEST_CONTROL: Final = "NODECLUSTER_TEST_CONTROL"
"""The path of the socket to which each process of a cluster under test connects."""

TEST_TOKEN: Final = "NODECLUSTER_TEST_TOKEN"  # noqa: S105 - a name
"""What each of them says there, so that the test knows it."""
