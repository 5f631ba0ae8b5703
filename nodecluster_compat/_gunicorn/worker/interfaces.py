"""Check when an application is loaded whether it is WSGI or ASGI, so that a wrong one is refused once, at the start.

A WSGI application is called with two arguments (``environ``, ``start_response``), an ASGI application with three
(``scope``, ``receive``, ``send``).  An application that can be called with either number passes.  One that can be
called with neither (a factory, a class, an application of ASGI 2) would fail at each request, so it is refused as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from gunicorn.errors import AppImportError

from ...base.arity import takes_plainly

__all__ = ["refuse_asgi", "refuse_wsgi"]


def refuse_wsgi(application: Callable[..., Any]) -> None:
    """Raise for a WSGI application, in a worker that serves ASGI.

    Raises:
        AppImportError: it is one, or none; gunicorn prints the sentence, and the boot has failed.
    """
    if _takes(application, 2) and not _takes(application, 3):
        raise AppImportError(
            f"nodecluster-compat: expected an ASGI application, which takes scope, receive and send, got "
            f"{_name(application)}, which takes two arguments as a WSGI application does: use "
            "nodecluster_compat.Worker or nodecluster_compat.ThreadWorker for it, or name its ASGI application"
        )
    if not _takes(application, 3, follows=False):
        raise AppImportError(
            f"nodecluster-compat: expected an ASGI application, which takes scope, receive and send, got "
            f"{_name(application)}, which does not take three arguments: name what a factory or a class makes "
            "('module:create_app()'), or wrap what was written for ASGI 2 "
            "(asgiref.compatibility.guarantee_single_callable)"
        )


def refuse_asgi(application: Callable[..., Any]) -> None:
    """Raise for an ASGI application, in a worker that serves WSGI.

    Raises:
        AppImportError: it is one, or none; gunicorn prints the sentence, and the boot has failed.
    """
    if _takes_plainly(application, 2):
        return
    if _takes(application, 3) and not _takes(application, 2):
        raise AppImportError(
            f"nodecluster-compat: expected a WSGI application, which takes environ and start_response, got "
            f"{_name(application)}, which takes three arguments as an ASGI application does: use "
            "nodecluster_compat.ASGIWorker for it, or name its WSGI application"
        )
    if not _takes(application, 2, follows=False):
        raise AppImportError(
            f"nodecluster-compat: expected a WSGI application, which takes environ and start_response, got "
            f"{_name(application)}, which does not take two arguments: name what a factory or a class makes "
            "('module:create_app()')"
        )


def _takes_plainly(application: Callable[..., Any], count: int) -> bool:
    """Whether its signature is plain: of a function or of its __call__, without __wrapped__ or __signature__."""
    called: Any = application
    if type(application) is not FunctionType:
        called = getattr(application, "__call__", None)  # noqa: B004 - which one it is
        if type(called) is not MethodType or called.__self__ is not application:
            return False
    says_more = any(hasattr(one, name) for one in (application, called) for name in ("__wrapped__", "__signature__"))
    return not says_more and takes_plainly(called, count)


def _takes(application: Callable[..., Any], count: int, *, follows: bool = True) -> bool:
    """Whether ``application`` can be called so; ``follows``: or what it says that it wraps, which may take others."""
    try:
        inspect.signature(application, follow_wrapped=follows).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # it has no signature, as what is written in C
        return True
    return True


def _name(application: Callable[..., Any]) -> str:
    name = getattr(application, "__qualname__", None)
    if name is None:
        kind = type(application)
        return f"an object of {kind.__module__}.{kind.__qualname__}"
    return f"{application.__module__}.{name}"
