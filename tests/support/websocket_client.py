"""simple_websocket's client, which hears what the server says in one breath with its handshake.

The original looks at such a message when the next one comes.
"""

from __future__ import annotations

import simple_websocket

__all__ = ["WebSocketClient"]


class WebSocketClient(simple_websocket.Client):
    """A client of WebSocket with a thread that receives."""

    def handshake(self) -> None:
        """Extends the original: look at all that came."""
        super().handshake()
        self.connected = self._handle_events()
