"""Run a test with several kinds of worker: ``@every_kind`` in front of a test that uses ``cluster``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest

__all__ = ["GEVENT", "STOCK_OF", "THREADS", "THREAD_WORKER", "every_kind"]

Test = TypeVar("Test", bound=Callable[..., Any])

THREAD_WORKER: Final = "nodecluster_compat.ThreadWorker"
GEVENT: Final[dict[str, Any]] = {"worker_class": "nodecluster_compat.Worker"}
THREADS: Final[dict[str, Any]] = {"worker_class": THREAD_WORKER, "settings": {"threads": 16}}
STOCK_OF: Final = {"nodecluster_compat.Worker": "gevent", THREAD_WORKER: "gthread"}


def every_kind(test: Test) -> Test:
    """Run a test with each kind that serves WSGI; what the test itself says of its cluster stands beside."""
    kinds = [
        pytest.param("gevent", marks=pytest.mark.cluster(**GEVENT)),
        pytest.param("threads", marks=pytest.mark.cluster(**THREADS)),
    ]
    made: Test = pytest.mark.usefixtures("kind")(pytest.mark.parametrize("kind", kinds, indirect=True)(test))
    return made
