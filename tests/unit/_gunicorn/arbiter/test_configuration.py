"""Putting the former configuration back puts back as much as can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nodecluster_compat._gunicorn.arbiter.configuration import Savepoint
from nodecluster_compat.errors import SettingsError


def hang(_: object) -> None:
    raise SettingsError("the former log hangs now")


def test_number_of_workers_is_put_back_whatever_the_log_does() -> None:
    troubles: list[str] = []
    primary = SimpleNamespace(forget=lambda _: [], recall=lambda _: None)
    arbiter: Any = SimpleNamespace(
        app=SimpleNamespace(), cfg=SimpleNamespace(config=None, graceful_timeout=30), worker_class=object, address=[],
        timeout=30, proc_name="test", LISTENERS=[], served=[], pidfile=None, num_workers=2, primary=primary,
        log=SimpleNamespace(cfg=None, exception=troubles.append), log_probe=SimpleNamespace(opened=hang),
    )  # fmt: skip
    savepoint = Savepoint(arbiter)
    arbiter.num_workers = 8
    savepoint.restore()
    assert arbiter.num_workers == 2
    assert troubles == ["Putting the former configuration back is incomplete"]
