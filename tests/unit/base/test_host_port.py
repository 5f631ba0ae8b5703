"""Addresses that people write."""

from __future__ import annotations

import pytest

from nodecluster_compat.base.host_port import host_port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9091", ("127.0.0.1", 9091)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9091", ("::1", 9091)),
        ("localhost:80", ("127.0.0.1", 80)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert host_port(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9091",
        ":9091",
        "127.0.0.1",
        "127.0.0.1:65536",
        "example.com:80",
        "::1:80",
        "127.1:80",
        "999.0.0.1:80",
        "...:80",
        "[:]:80",
        9091,
        None,
    ],
)
def test_what_is_no_address(text: object) -> None:
    """It is refused in a sentence; names are, because looking one up would wait."""
    with pytest.raises(ValueError, match="an address and a port, such as"):
        host_port(text)
