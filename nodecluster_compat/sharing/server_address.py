"""Read where the server of several hosts is: ``NODECLUSTER_BUS``, and the cluster's name, ``NODECLUSTER_NAME``.

    redis://[user:password@]host[:port][/db][?option=value]     rediss:// by TLS; valkey://, valkeys://, unix:// too
    redis+sentinel://[user:password@]host[:port],…/service[/db]  by Sentinel, whichever server is the master
    redis+cluster://[user:password@]host[:port],…                a Redis Cluster

Options are those of redis-py's ``from_url``; of Sentinel also ``sentinel_username`` and ``sentinel_password``.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from ..base.variables import BUS, NAME
from ..errors import SettingsError

__all__ = [
    "ServerAddress",
    "address_of",
    "asked_name",
    "asked_url",
    "check_settings",
    "is_asked",
]

Kind: TypeAlias = Literal["single", "sentinel", "cluster"]

_SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
_KINDS: Final[dict[str, Kind]] = {"sentinel": "sentinel", "cluster": "cluster"}
_PORTS: Final[dict[str, int]] = {"sentinel": 26379, "cluster": 6379}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SENTINEL_OPTION: Final = "sentinel_"


class ServerAddress(Struct, frozen=True):
    """Where the server is.

    Attributes:
        kind: how it is reached.
        url: of a single server, as redis-py has it.
        hosts: of Sentinels, or nodes of a Redis Cluster, with their ports.
        service: by which Sentinels know the server.
        options: of the connections to it.
        sentinel_options: of those to Sentinels.
    """

    kind: Kind
    url: str = ""
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    options: dict[str, Any] = {}
    sentinel_options: dict[str, Any] = {}


def is_asked() -> bool:
    """Whether several hosts share a server."""
    return bool(asked_url())


def asked_url() -> str:
    """Return the URL of the environment; empty for none."""
    return os.environ.get(BUS, "")


def asked_name() -> str:
    """Return the name of the clusters that share a server.

    Raises:
        SettingsError: it is no name.
    """
    name = os.environ.get(NAME, "default")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"expected 1 to 64 letters, digits, '.', '_' or '-' as {NAME}, got {name!r}")
    return name


def check_settings() -> None:
    """Look at what the environment says of other hosts, if anything.

    Raises:
        SettingsError: it cannot work.
    """
    if not is_asked():
        return
    address_of(asked_url())
    asked_name()
    if find_spec("redis") is None:  # not imported: that would import too much before gevent patches
        raise SettingsError(
            f"expected redis for {BUS}, which is not installed: pip install 'nodecluster-compat[redis]'"
        )


def address_of(url: str) -> ServerAddress:
    """Return what a URL says.

    Raises:
        SettingsError: it is of another kind; the sentence has no password.
    """
    scheme, separator, rest = url.partition("://")
    base, _, way = scheme.partition("+")
    kind = _KINDS.get(way) if way else "single"
    if not separator or base not in _SCHEMES or kind is None or not rest or (way and base == "unix"):
        raise SettingsError(
            f"expected redis://, rediss://, valkey://, valkeys:// or unix:// in {BUS}, or redis+sentinel://, "
            f"redis+cluster://, got a URL of {scheme!r}"
        )
    if kind == "single":
        return ServerAddress("single", f"{_SCHEMES[base]}://{rest}")
    return _of_several(kind, _SCHEMES[base] == "rediss", rest)


def _of_several(kind: Kind, by_tls: bool, rest: str) -> ServerAddress:
    rest, _, query = rest.partition("?")
    places, *path = rest.split("/")
    user, has_user, places = places.rpartition("@")
    options: dict[str, Any] = {"ssl": True} if by_tls else {}
    if has_user:
        name, _, password = user.partition(":")
        options |= {"username": unquote(name) or None, "password": unquote(password) or None}
    own, sentinel = _options(query)
    hosts = tuple(_host(place, _PORTS[kind]) for place in places.split(","))
    if kind == "cluster":
        return ServerAddress(kind, hosts=hosts, options=options | own)
    if not path or not path[0]:
        raise SettingsError(f"expected redis+sentinel://host:port,host:port/service in {BUS}, got no service")
    if len(path) > 1 and path[1].isdigit():
        options["db"] = int(path[1])
    if by_tls:
        sentinel = {"ssl": True} | sentinel
    return ServerAddress(kind, hosts=hosts, service=unquote(path[0]), options=options | own, sentinel_options=sentinel)


def _options(query: str) -> tuple[dict[str, Any], dict[str, Any]]:
    own: dict[str, Any] = {}
    sentinel: dict[str, Any] = {}
    for name, value in parse_qsl(query):
        if name.startswith(_SENTINEL_OPTION):
            sentinel[name.removeprefix(_SENTINEL_OPTION)] = value
        else:
            own[name] = int(value) if value.isdigit() else value
    return own, sentinel


def _host(place: str, port: int) -> tuple[str, int]:
    host, separator, text = place.rpartition(":")
    if not separator or text.endswith("]"):
        host, text = place, str(port)
    if not host or not text.isdigit():
        raise SettingsError(f"expected host:port in {BUS}, got {place!r}")
    return host.strip("[]"), int(text)
