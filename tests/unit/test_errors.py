"""Errors have Node's codes."""

from __future__ import annotations

import pytest

from nodecluster_compat import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ChannelClosed, "ERR_IPC_CHANNEL_CLOSED"),
        (errors.ChannelBroken, "EPIPE"),
        (errors.ServerNotRunning, "ERR_SERVER_NOT_RUNNING"),
        (errors.ServerAlreadyListening, "ERR_SERVER_ALREADY_LISTEN"),
        (errors.ArgumentError, "ERR_INVALID_ARG_VALUE"),
        (errors.ArgumentTypeError, "ERR_INVALID_ARG_TYPE"),
        (errors.HandleNotPassable, "ERR_INVALID_HANDLE_TYPE"),
        (errors.MessageTooLarge, None),
    ],
)
def test_errors_have_the_codes_that_node_gives_them(kind: type[errors.ClusterError], code: str | None) -> None:
    """``None`` for what Node does not know."""
    assert kind("a sentence").code == code
