"""The descriptors of a worker's connections that no process is to keep which a request forks."""

from __future__ import annotations

import logging
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import gevent
from gevent.ssl import SSLContext

from nodecluster_compat._gunicorn.worker.fed_source import FedSource
from nodecluster_compat.base.native import PYTHON

PATIENCE = 20.0


def test_client_that_is_shaking_hands_is_no_childs() -> None:
    """It is told when its worker closes, and not only when the child has ended."""
    worker: Any = SimpleNamespace(cfg=SimpleNamespace(is_ssl=False), log=logging.getLogger("quiet"))
    worker.metering = SimpleNamespace(count_failed=lambda: None)
    feed: Any = SimpleNamespace(listeners={}, routes=None)
    listener: Any = SimpleNamespace(family=socket.AF_UNIX)
    serving: dict[Any, Any] = {}
    source = FedSource(worker, feed, serving, lambda: serving.pop(gevent.getcurrent(), None), 0.0, PYTHON)
    source._tls, source._room_made = SSLContext(ssl.PROTOCOL_TLS_SERVER), lambda: None
    ours, client = socket.socketpair()
    fd = ours.detach()
    with client:
        served = gevent.spawn(source._serve, listener, fd)
        gevent.sleep(0)
        assert source.inherited_fds() == [fd]
    served.get(timeout=PATIENCE)
    assert source.inherited_fds() == []
