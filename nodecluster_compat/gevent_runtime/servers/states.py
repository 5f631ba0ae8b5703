"""Track the life of one server, as the process that made it sees it: one table.

    closed ──listen──▶ starting ──bound──▶ listening ──close──▶ closing ──drained──▶ closed
                          │ failed ▶ closed
                          └─close──▶ abandoned ──bound, failed──▶ closed

A server may listen again while its last connections end (``closing ──listen──▶ starting``): then it is not closed, and
its ``close`` is still to come.  If that fails, or is called off, it goes back (``closed ──serve on──▶ closing``).
``abandoned``: closed before the answer came; the socket is given back when it does, and ``listening`` never comes
(Node since 18).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ...errors import IllegalTransition

__all__ = ["SERVER_TRANSITIONS", "ServerLife", "ServerState", "ServerStep"]

ServerState: TypeAlias = Literal["closed", "starting", "listening", "closing", "abandoned"]
ServerStep: TypeAlias = Literal["listen", "bound", "failed", "close", "drained", "serve on"]

SERVER_TRANSITIONS: Final[dict[tuple[ServerState, ServerStep], ServerState]] = {
    ("closed", "listen"): "starting",
    ("starting", "bound"): "listening",
    ("starting", "failed"): "closed",
    ("starting", "close"): "abandoned",
    ("abandoned", "bound"): "closed",
    ("abandoned", "failed"): "closed",
    ("listening", "close"): "closing",
    ("closing", "drained"): "closed",
    ("closing", "listen"): "starting",
    ("closed", "serve on"): "closing",
}


class ServerLife:
    """The state of one server."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: ServerState = "closed"

    def advance(self, step: ServerStep) -> ServerState:
        """Take a step and return the new state.

        Raises:
            IllegalTransition: the table does not have it; the state is unchanged.
        """
        state = SERVER_TRANSITIONS.get((self.state, step))
        if state is None:
            raise IllegalTransition(f"a server that is {self.state!r} cannot take the step {step!r}")
        self.state = state
        return state
