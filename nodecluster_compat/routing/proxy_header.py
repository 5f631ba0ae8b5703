"""Find the header of the PROXY protocol, versions 1 and 2, in front of a first request.  Pure.

Source: the specification of HAProxy, ``doc/proxy-protocol.txt``, §2.1 and §2.2.
"""

from __future__ import annotations

import ipaddress
from typing import Final

__all__ = ["proxied_address", "proxy_header_bytes"]

_V1: Final = b"PROXY "
_V1_MOST: Final = 107
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = 16
_LENGTHS: Final = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}  # of an address, by family and transport


def proxy_header_bytes(data: bytes | bytearray) -> int | None:
    """Return how long the header is; 0 where there is none, ``None`` while that cannot be told yet."""
    if data.startswith(_V1):
        end = data.find(b"\n", 0, _V1_MOST)
        return end + 1 if end >= 0 else (None if len(data) < _V1_MOST else 0)
    if data.startswith(_V2):
        if len(data) < _V2_FIXED:
            return None
        whole = _V2_FIXED + int.from_bytes(data[14:16], "big")
        return whole if len(data) >= whole else None
    return None if _V1.startswith(data) or _V2.startswith(data) else 0


def proxied_address(data: bytes | bytearray) -> str | None:
    """Return the client's IP address that a whole header says; ``None`` where it says none."""
    size = proxy_header_bytes(data)
    if not size:
        return None
    try:
        if data.startswith(_V1):
            return str(ipaddress.ip_address(bytes(data[:size]).decode("ascii").split(" ")[2]))
        length = _LENGTHS.get(data[13], 0) if data[12] & 0x0F else 0  # the command LOCAL speaks of no client
        return str(ipaddress.ip_address(bytes(data[_V2_FIXED : min(_V2_FIXED + length, size)])))
    except (ValueError, IndexError, UnicodeDecodeError):
        return None
