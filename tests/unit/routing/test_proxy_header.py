"""The header of the PROXY protocol in front of a first request."""

from __future__ import annotations

import ipaddress

import pytest

from nodecluster_compat.routing.proxy_header import proxied_address, proxy_header_bytes

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(family: int, addresses: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(addresses).to_bytes(2, "big") + addresses


def addresses(client: str) -> bytes:
    packed = ipaddress.ip_address(client).packed
    return packed + packed + b"\x13\x88\x00\x50"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (V1, "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY TCP4 nonsense 1 2 3\r\n", None),
        (v2(0x11, addresses("192.0.2.1")), "192.0.2.1"),
        (v2(0x21, addresses("2001:db8::1")), "2001:db8::1"),
        (v2(0x11, addresses("192.0.2.1") + b"more"), "192.0.2.1"),
        (v2(0x00, b"", 0x20), None),
        (v2(0x31, bytes(216)), None),
        (v2(0x11, b"\x01"), None),
    ],
)
def test_it_is_found_however_much_of_the_request_has_come(header: bytes, client: str | None) -> None:
    whole = header + b"GET / HTTP/1.1\r\n\r\n"
    for size in range(len(whole) + 1):
        found = proxy_header_bytes(whole[:size])
        assert found == (len(header) if size >= len(header) else None), size
    assert proxied_address(whole) == client


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"POST", b"\r\nGET", b"PROXYING", b"PROXY " + b"x" * 200])
def test_what_is_none_is_known_at_once(data: bytes) -> None:
    assert proxy_header_bytes(data) == 0
    assert proxied_address(data) is None


def test_nothing_may_become_one() -> None:
    assert proxy_header_bytes(b"") is None
