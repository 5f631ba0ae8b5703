"""Say which worker a request belongs to: the protocol of a key, and the keys that are shipped.  Pure.

A key *finds* in the head of a request

* the id of the worker that the request belongs to: it has been put there, in a session id or a cookie;
* a value, as text: requests with the same value go to the same worker, whichever that is;
* :data:`ANYBODY`: a new session begins, so the worker should be chosen afresh;
* nothing (``None``): the next key is asked, and if none finds anything, the request is served where it is.

A function of the head that returns one of these is a key as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol, TypeAlias

from ..errors import SettingsError
from .head import RequestHead

__all__ = ["ANYBODY", "Anybody", "Cookie", "Field", "Found", "FunctionKey", "Key", "Path", "Query", "checked_name"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Anybody(Enum):
    """See :data:`ANYBODY`."""

    ANYBODY = "a new session: whoever is next"


ANYBODY: Final = Anybody.ANYBODY
"""What a key finds where a new session begins."""

Found: TypeAlias = "int | str | Anybody | None"


class Key(Protocol):
    """Finds whom a request belongs to."""

    @property
    def needs_fields(self) -> bool:
        """Whether the first line is not enough."""

    @property
    def hint(self) -> bytes | None:
        """What is in every first line in which it finds something; ``None`` where nothing is, or it needs fields."""

    def find(self, head: RequestHead) -> Found:
        """Return what this key finds; see the module."""


class Query:
    """By the value of a parameter of the query, as ``Query("upload")`` for ``/send?upload=7``.

    Args:
        name: of the parameter.
    """

    needs_fields = False

    def __init__(self, name: str) -> None:
        self.name = checked_name(name, "Query")
        self.hint: bytes | None = f"{name}=".encode()

    def find(self, head: RequestHead) -> Found:
        """See :class:`Key`."""
        return head.query(self.name) or None


class Path:
    r"""By a part of the path, as ``Path(r"/sockjs/[^/]+/([^/]+)/")``.

    Args:
        pattern: a regular expression that is looked for at the beginning of the path; its first group is the value,
            without a group all that it matches.

    Raises:
        SettingsError: it is no regular expression.
    """

    needs_fields = False
    hint: bytes | None = None

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise SettingsError(f"expected a regular expression in Path(), got {pattern!r}: {error}") from None

    def find(self, head: RequestHead) -> Found:
        """See :class:`Key`."""
        match = self._pattern.match(head.path)
        if match is None:
            return None
        return (match[1] if self._pattern.groups else match[0]) or None


class Cookie:
    """By the value of a cookie of the application's.

    Args:
        name: of the cookie.
    """

    needs_fields = True
    hint: bytes | None = None

    def __init__(self, name: str) -> None:
        self.name = checked_name(name, "Cookie")

    def find(self, head: RequestHead) -> Found:
        """See :class:`Key`."""
        return head.cookie(self.name) or None


class Field:
    """By the value of a field (a header) that the client chooses, as ``Field("X-Tenant")``.

    Args:
        name: of the field.
    """

    needs_fields = True
    hint: bytes | None = None

    def __init__(self, name: str) -> None:
        self.name = checked_name(name, "Field")

    def find(self, head: RequestHead) -> Found:
        """See :class:`Key`."""
        return head.field(self.name) or None


class FunctionKey:
    """A program's own function as a key.

    Args:
        function: called with a :class:`~nodecluster_compat.routing.head.RequestHead`; returns what a key finds.
    """

    needs_fields = True
    hint: bytes | None = None

    def __init__(self, function: Callable[[RequestHead], object]) -> None:
        self.function = function

    def find(self, head: RequestHead) -> Found:
        """See :class:`Key`.

        Raises:
            TypeError: the function has returned what no key finds.
        """
        found = self.function(head)
        if found is None or (isinstance(found, int | str | Anybody) and not isinstance(found, bool)):
            return found
        raise TypeError(f"expected a worker's id, text, ANYBODY or None, got {found!r}")


def checked_name(name: object, key: str) -> str:
    """Return the name of a field, a cookie or a parameter.

    Raises:
        SettingsError: it can be none.
    """
    if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
        raise SettingsError(f"expected a name in {key}(), as in {key}('session'), got {name!r}")
    return name
