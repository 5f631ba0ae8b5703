"""HUP: gunicorn's ``Arbiter.reload`` without the wait.

Replaces gunicorn's method, which forks the new workers, tells the old ones to end at once, and then stands still
until they have.  Here the new generation is forked and that is all: an old worker is retired by
``manage_workers`` when as many others listen as there should be, so somebody always takes the next connection.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from gunicorn import sock as gunicorn_sock
from gunicorn import util
from gunicorn.pidfile import Pidfile

if TYPE_CHECKING:
    from .arbiter import ClusterArbiter

__all__ = ["reload"]

_CONFIG_MODULE: Final = "__config__"
"""The name under which gunicorn executes ``gunicorn.conf.py``, again on every HUP."""


def reload(arbiter: ClusterArbiter) -> None:
    """Read the configuration again and start a new generation of workers."""
    if hasattr(arbiter, "_stats"):  # gunicorn 25.1 and later
        arbiter._stats["reloads"] += 1
    old_address = arbiter.cfg.address
    _restore_environment(arbiter)
    # Executing the file again registers its handlers again: they are replaced, not doubled.
    arbiter.primary.forget(_CONFIG_MODULE)
    arbiter.app.reload()
    arbiter.setup(arbiter.app)
    arbiter.log.reopen_files()
    if old_address != arbiter.cfg.address:
        _replace_listeners(arbiter)
    arbiter.cfg.on_reload(arbiter)
    _renew_pidfile(arbiter)
    util._setproctitle(f"master [{arbiter.proc_name}]")
    arbiter.primary.grace = arbiter.cfg.graceful_timeout
    arbiter.crew.generation += 1
    arbiter.manage_workers()


def _restore_environment(arbiter: ClusterArbiter) -> None:
    for name in arbiter.cfg.env:
        if name in arbiter.cfg.env_orig:
            os.environ[name] = arbiter.cfg.env_orig[name]
        else:
            os.environ.pop(name, None)


def _replace_listeners(arbiter: ClusterArbiter) -> None:
    for served in arbiter.served:
        arbiter.primary.listeners[served.listener_id].replace()
    for listener in arbiter.LISTENERS:
        listener.close()
    arbiter.LISTENERS = gunicorn_sock.create_sockets(arbiter.cfg, arbiter.log)
    arbiter.serve_listeners()
    arbiter.log.info("Listening at: %s", ",".join(str(listener) for listener in arbiter.LISTENERS))


def _renew_pidfile(arbiter: ClusterArbiter) -> None:
    if arbiter.pidfile is not None:
        arbiter.pidfile.unlink()
    if arbiter.cfg.pidfile is not None:
        arbiter.pidfile = Pidfile(arbiter.cfg.pidfile)
        arbiter.pidfile.create(arbiter.pid)
