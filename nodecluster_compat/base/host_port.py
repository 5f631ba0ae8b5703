"""Read an address that a person has written, such as ``127.0.0.1:9091``.  Pure."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

__all__ = ["host_port"]

_SHAPE: Final = re.compile(r"(?P<host>localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_MOST: Final = 65535


def host_port(text: object) -> tuple[str, int]:
    """Return the host and the port; a name is not resolved, as that would wait.

    Raises:
        ValueError: it is no such address; the sentence says what is expected.
    """
    found = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    if found is not None and int(found["port"]) <= _MOST:
        host = "127.0.0.1" if found["host"] == "localhost" else found["host"].strip("[]")
        with suppress(ValueError):
            return str(ip_address(host)), int(found["port"])  # not 127.1, which a resolver would have to complete
    raise ValueError(f'an address and a port, such as "127.0.0.1:9091" or "[::1]:9091", got {text!r}')
