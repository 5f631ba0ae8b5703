"""Tell what setting up a configuration's log opens: files, and what a ``SysLogHandler`` connects to.

What a handler of another class opens when it is made is known to that class only.
"""

from __future__ import annotations

import json
import logging
import logging.config
import logging.handlers
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gunicorn import glogging

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["LogTarget", "targets_of"]

_OF_A_FILE: Final = ("filename",)
_OF_A_SYSLOG: Final = ("address", "facility", "socktype")
_EVALUATED: Final = (("args", "()"), ("kwargs", "{}"))  # as ``logging.config`` does a moment later


class LogTarget(NamedTuple):
    """A file or address that a handler opens when it is made.

    Attributes:
        place: the path of a file, or the address of a syslog.
        is_syslog: which of both.
        kind: of the syslog's socket; ``None`` lets the handler choose.
    """

    place: Any
    is_syslog: bool = False
    kind: socket.SocketKind | None = None

    def __str__(self) -> str:
        return f"syslog {self.place}" if self.is_syslog else str(self.place)


def targets_of(cfg: Settings) -> Iterator[LogTarget]:
    """Return what is opened, in the order of gunicorn's ``setup``.

    Raises:
        Exception: the configuration of the log makes no sense; ``setup`` says how.
    """
    for path in (cfg.errorlog, cfg.accesslog):
        if path and path != "-":
            yield LogTarget(os.fspath(path))
    if cfg.syslog:
        kind, place = glogging.parse_syslog_address(cfg.syslog_addr)
        yield LogTarget(place, True, kind)
    if cfg.logconfig_dict:
        yield from _of_handlers(dict(cfg.logconfig_dict))
    elif cfg.logconfig_json:
        with open(cfg.logconfig_json, encoding="utf-8") as file:
            yield from _of_handlers(json.load(file))
    elif cfg.logconfig:
        yield from _of_file(cfg.logconfig)


def _of_handlers(config: dict[str, Any]) -> Iterator[LogTarget]:
    handlers = logging.config.BaseConfigurator(config).config.get("handlers") or {}  # resolves ``ext://``
    for name in handlers:
        one = handlers[name]
        options = {key: one[key] for key in one}
        yield from _of_handler(options.get("()") or options.get("class"), (), options)


def _of_file(path: str) -> Iterator[LogTarget]:
    from configparser import ConfigParser  # as ``logging.config`` does: few have such a file

    parser = ConfigParser({"__file__": path, "here": os.path.dirname(path)})
    parser.read(path)
    for name in filter(None, map(str.strip, parser["handlers"]["keys"].split(","))):
        section = parser[f"handler_{name}"]
        args, options = (eval(section.get(key, default), vars(logging)) for key, default in _EVALUATED)  # noqa: S307
        yield from _of_handler(section["class"], args, options)


def _of_handler(named: object, args: Iterable[Any], options: Mapping[str, Any]) -> Iterator[LogTarget]:
    made = _class_of(named)
    if issubclass(made, logging.handlers.SysLogHandler):
        given = {**dict(zip(_OF_A_SYSLOG, args, strict=False)), **options}
        place = given.get("address", ("localhost", logging.handlers.SYSLOG_UDP_PORT))
        yield LogTarget(place if isinstance(place, str) else tuple(place), True, given.get("socktype"))
    elif issubclass(made, logging.FileHandler) or "filename" in options:
        given = {**dict(zip(_OF_A_FILE, args, strict=False)), **options}
        yield LogTarget(os.fspath(given["filename"]))


def _class_of(named: object) -> type:
    """Return the class of a handler; ``object`` for one that is not known yet."""
    if isinstance(named, str):
        module, _, name = named.rpartition(".")
        modules = (sys.modules.get(one) for one in (module, f"logging.{module}".strip(".")))
        named = next((getattr(one, name) for one in modules if hasattr(one, name)), None)
    return named if isinstance(named, type) else object
