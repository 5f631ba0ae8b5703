"""Answer on a loopback address only those who ask for it by a name of this machine.  Pure.

A page of a foreign site cannot read what another origin answers, unless its own name is made to lead to 127.0.0.1
(DNS rebinding): then the browser takes the answer for the site's.  It still sends the site's name in ``Host``, and by
that it is known.  Node's inspector and Jupyter check the same.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from .control_frames import Garbage, HttpHead
from .routes import Routes, text_answer

__all__ = ["LocalRoutes", "names_this_machine"]

_SHAPE: Final = re.compile(r"(?P<name>\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")


class LocalRoutes:
    """Routes that can be read by programs of this machine, and not by foreign pages in its browser.

    Args:
        routes: what is answered.

    Attributes:
        is_loopback: whether the address in use is one that only this machine reaches; elsewhere any name is good, as a
            server that others scrape has names that nobody here knows.
    """

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self.is_loopback = True

    def answer(self, request: HttpHead | Garbage) -> bytes:
        """Return what is to be sent."""
        if self.is_loopback and isinstance(request, HttpHead) and not names_this_machine(request.host):
            sentence = (
                f"expected Host to be an IP address or localhost on a loopback address, got {request.host[:100]!r}"
            )
            return text_answer(403, sentence).encoded(with_body=request.method != "HEAD")
        return self._routes.answer(request)


def names_this_machine(host: str) -> bool:
    """Return whether no name server was asked for ``host``, a value of the Host field; an absent one passes."""
    found = _SHAPE.fullmatch(host)
    if found is None:
        return False
    name = found["name"].strip("[]").lower().rstrip(".")
    return name in ("", "localhost") or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
