"""``wsgi.errors`` is made again when a stream behind it has changed, and only then; in C and in Python."""

from __future__ import annotations

import gc
import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.requests.caching import errors_stream
from nodecluster_compat.base.native import PYTHON, Choice, in_force

CFG: Any = SimpleNamespace()


class Errors:
    """gunicorn's, as far as it matters."""

    closed = False

    def __init__(self, cfg: object) -> None:
        assert cfg is CFG


def new_log() -> logging.Logger:
    return logging.getLoggerClass()("nobody's")


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_errors_are_made_again_when_something_has_changed(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log()
    stream: Any = logging.StreamHandler(io.StringIO())
    log.handlers = [stream, logging.NullHandler()]
    get = errors_stream(choice, Errors, log).get
    seen = []

    def check(is_new: bool) -> None:
        now = get(CFG)
        assert get(CFG) is now
        assert all(now is not one for one in seen) == is_new
        seen.append(now)

    check(True)
    gc.collect()
    check(False)
    stream.stream = io.StringIO()
    check(True)
    log.handlers = log.handlers[:]
    check(False)
    log.handlers.append(logging.NullHandler())
    check(True)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    check(True)
    seen[-1].closed = True
    check(True)
    del stream.stream
    check(True)


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_errors_that_cannot_be_made_change_nothing(choice: Choice) -> None:
    log, made = new_log(), []

    def make(cfg: object) -> Errors:
        if not made:
            made.append(cfg)
            raise OSError("no file")
        return Errors(cfg)

    get = errors_stream(choice, make, log).get
    with pytest.raises(OSError, match="no file"):
        get(CFG)
    assert get(CFG) is get(CFG)


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_errors_may_be_made_again_while_they_are_compared(choice: Choice) -> None:
    """A handler's stream may be a property, in which another thread runs and finds other handlers."""
    if not gc.get_freeze_count():
        gc.freeze()  # some six hundred collections are to look at what is made here, not at all that is imported

    class Handler(logging.Handler):
        looks = 0

        @property
        def stream(self) -> object:
            type(self).looks += 1
            if 7 <= self.looks < 40:  # while the first three are compared
                log.handlers = [Handler() for _ in range(3)]
                get(CFG)
                gc.collect()
            return sys.stdout

    log = new_log()
    log.handlers = [Handler() for _ in range(3)]
    get = errors_stream(choice, Errors, log).get
    seen = [get(CFG) for _ in range(20)]
    assert all(type(one) is Errors for one in seen)
