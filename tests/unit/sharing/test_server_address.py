"""Where the server of several hosts is: every kind of URL, and what is none."""

from __future__ import annotations

import pytest

from nodecluster_compat.errors import SettingsError
from nodecluster_compat.sharing.server_address import ServerAddress, address_of, asked_name, check_settings


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://host:1/2", "redis://host:1/2"),
        ("valkey://host", "redis://host"),
        ("valkeys://host?ssl_cert_reqs=none", "rediss://host?ssl_cert_reqs=none"),
        ("unix:///tmp/redis.sock", "unix:///tmp/redis.sock"),
    ],
)
def test_a_single_server(url: str, meant: str) -> None:
    """Valkey's are Redis' for the client."""
    assert address_of(url) == ServerAddress("single", meant)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (
            "redis+sentinel://ada:p%40ss@one,two:7,[::1]:8/main/3?sentinel_password=s&health_check_interval=5",
            ServerAddress(
                "sentinel",
                hosts=(("one", 26379), ("two", 7), ("::1", 8)),
                service="main",
                options={"username": "ada", "password": "p@ss", "db": 3, "health_check_interval": 5},
                sentinel_options={"password": "s"},
            ),
        ),
        (
            "valkeys+sentinel://one/main",
            ServerAddress(
                "sentinel",
                hosts=(("one", 26379),),
                service="main",
                options={"ssl": True},
                sentinel_options={"ssl": True},
            ),
        ),
        (
            "redis+cluster://:word@one:1,two",
            ServerAddress("cluster", hosts=(("one", 1), ("two", 6379)), options={"username": None, "password": "word"}),
        ),
    ],
)
def test_several_servers(url: str, meant: ServerAddress) -> None:
    """Sentinels know a service; the nodes of a cluster know each other."""
    assert address_of(url) == meant


@pytest.mark.parametrize(
    "url",
    [
        *("http://ada:secret@host", "host:6379", "redis://", "redis+other://host", "unix+cluster:///x"),
        *("redis+sentinel://ada:secret@host", "redis+cluster://host:many", "redis+cluster://one,,two"),
    ],
)
def test_what_is_no_url(url: str) -> None:
    """The sentence says what is expected, and no password."""
    with pytest.raises(SettingsError, match="expected ") as caught:
        address_of(url)
    assert "secret" not in str(caught.value)


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is part of keys."""
    monkeypatch.delenv("NODECLUSTER_NAME", raising=False)
    assert asked_name() == "default"
    monkeypatch.setenv("NODECLUSTER_NAME", "shop-2.eu_west")
    assert asked_name() == "shop-2.eu_west"
    monkeypatch.setenv("NODECLUSTER_NAME", "a}b")
    with pytest.raises(SettingsError, match="NODECLUSTER_NAME"):
        asked_name()


def test_what_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that is none, a client that is not installed; nothing where no server is named."""
    monkeypatch.delenv("NODECLUSTER_BUS", raising=False)
    check_settings()
    monkeypatch.setenv("NODECLUSTER_BUS", "http://host")
    with pytest.raises(SettingsError, match="NODECLUSTER_BUS"):
        check_settings()
    monkeypatch.setenv("NODECLUSTER_BUS", "redis://host")
    check_settings()
    monkeypatch.setattr("nodecluster_compat.sharing.server_address.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"pip install 'nodecluster-compat\[redis\]'"):
        check_settings()
