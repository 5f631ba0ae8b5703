"""Run a test with several kinds of worker: ``@every_kind`` in front of a test that uses ``cluster``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

__all__ = [
    "ASGI",
    "GEVENT",
    "STOCK_OF",
    "THREADS",
    "THREAD_WORKER",
    "every_kind",
    "every_kind_slowly",
    "every_wsgi_kind",
]

APPS: Final = Path(__file__).parents[1] / "apps"

Test = TypeVar("Test", bound=Callable[..., Any])

THREAD_WORKER: Final = "nodecluster_compat.ThreadWorker"
GEVENT: Final[dict[str, Any]] = {"worker_class": "nodecluster_compat.Worker"}
ASGI_WORKER: Final = "asgi_kind.Worker"  # serves the WSGI applications of the tests
ASGI: Final[dict[str, Any]] = {"worker_class": ASGI_WORKER, "env": {"PYTHONPATH": str(APPS)}}
THREADS: Final[dict[str, Any]] = {"worker_class": THREAD_WORKER, "settings": {"threads": 16}}
STOCK_OF: Final = {"nodecluster_compat.Worker": "gevent", THREAD_WORKER: "gthread"}


def every_kind(test: Test) -> Test:
    """Run a test with each kind; what the test itself says of its cluster stands beside."""
    return _with(test, {"gevent": GEVENT, "threads": THREADS, "asgi": ASGI})


def every_kind_slowly(test: Test) -> Test:
    """Run a test with each kind, the others than gevent's where long tests run: what it shows is the primary's work."""
    return _with(test, {"gevent": GEVENT, "threads": THREADS, "asgi": ASGI}, quick=("gevent",))


def every_wsgi_kind(test: Test) -> Test:
    """Run a test with each kind that serves WSGI by itself."""
    return _with(test, {"gevent": GEVENT, "threads": THREADS})


def _with(test: Test, kinds: dict[str, dict[str, Any]], quick: tuple[str, ...] | None = None) -> Test:
    params = []
    for name, options in kinds.items():
        long = [] if quick is None or name in quick else [pytest.mark.long]
        params.append(pytest.param(name, marks=[pytest.mark.cluster(**options), *long]))
    made: Test = pytest.mark.usefixtures("kind")(pytest.mark.parametrize("kind", params, indirect=True)(test))
    return made
