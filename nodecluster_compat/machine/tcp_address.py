"""Listen on an address of TCP, as :class:`~nodecluster_compat.machine.socket_path.SocketPath` does on a path."""

from __future__ import annotations

import _socket

__all__ = ["TcpAddress"]


class TcpAddress:
    """An address that one process listens on.

    Args:
        host: as numbers.
        port: 0 for one that is free.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def take(self, backlog: int) -> _socket.socket:
        """Listen on the address, and return the socket, which does not block.

        Raises:
            OSError: the address cannot be had.
        """
        family = _socket.AF_INET6 if ":" in self.host else _socket.AF_INET
        sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self.port))
            sock.listen(backlog)
        except OSError:
            sock.close()
            raise
        self.port = sock.getsockname()[1]
        return sock
