"""Wrap the methods by which test clients call an application in this process, and note who calls which."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from ..requests.wsgi import WSGIFront
from .imports_watch import ImportsWatch

__all__ = ["ANY_PACKAGE", "ClientWatch", "package_of"]

ANY_PACKAGE = ""
"""Of an application that is the only one of a process."""


class Place(NamedTuple):
    """A method by which a test client calls an application."""

    module: str
    owner: str
    method: str


PLACES = (
    Place("werkzeug.test", "Client", "run_wsgi_app"),
    Place("django.test.client", "ClientHandler", "__call__"),
    Place("django.test.client", "AsyncClientHandler", "__call__"),
    Place("webtest.app", "TestApp", "do_request"),
)


class ClientWatch:
    """Watches test clients, from :meth:`look` to :meth:`end`.

    :param note: called when one calls an application that is no cluster's: with what asks a cluster in its place, and
        the package of the application.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        self._wrapped: dict[Place, tuple[Callable[..., Any], Callable[..., Any]]] = {}
        self._imports = ImportsWatch(frozenset(place.module for place in PLACES), self._wrap_all)

    def look(self) -> None:
        """Watch those that are there, and those that are imported from now on: Flask's come with the first client."""
        self._imports.begin()
        self._wrap_all()

    def end(self) -> None:
        """Give the clients their methods back."""
        self._imports.end()
        for place, (former, wrapper) in self._wrapped.items():
            owner = getattr(sys.modules.get(place.module), place.owner, None)
            if _method(owner, place) is wrapper:
                setattr(owner, place.method, former)
        self._wrapped.clear()

    def _wrap_all(self) -> None:
        for place in PLACES:
            self._wrap(place, getattr(sys.modules.get(place.module), place.owner, None))

    def _wrap(self, place: Place, owner: object) -> None:
        method = _method(owner, place)
        if method is None or method is self._wrapped.get(place, (None, None))[1]:
            return

        @functools.wraps(method)
        def noting(client: object, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - somebody else's method
            __tracebackhide__ = True
            application = getattr(client, "application", getattr(client, "app", None))
            if not isinstance(application, WSGIFront):
                self._note(_instead_of(client), _package_of_application(client, application))
            return method(client, *args, **kwargs)

        self._wrapped[place] = (method, noting)
        setattr(owner, place.method, noting)


def package_of(name: str) -> str:
    """Return the package that the application *name* (``package.module:name``) belongs to."""
    return name.partition(":")[0].partition(".")[0]


def _method(owner: object, place: Place) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(owner, "__dict__", {}).get(place.method)
    return found


def _instead_of(client: object) -> str:
    modules = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
    if "django" in modules:
        return f"cluster.django_{'async_' if 'Async' in type(client).__name__ else ''}client()"
    if "flask" in modules:
        return "cluster.flask_client()"
    return f"{'webtest.TestApp' if 'webtest' in modules else 'werkzeug.test.Client'}(cluster.wsgi_app)"


def _package_of_application(client: object, application: object) -> str:
    if type(client).__module__.startswith("django."):
        return ANY_PACKAGE
    name = getattr(application, "import_name", None) or getattr(application, "__module__", None)
    return package_of(name if isinstance(name, str) else type(application).__module__)
