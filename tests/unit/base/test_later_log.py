"""A log for other threads: the loop's own thread writes it."""

from __future__ import annotations

import logging
import threading

import pytest

from nodecluster_compat.base.later_log import LaterLog
from nodecluster_compat.base.loop import Loop


def test_line_of_another_thread_is_written_by_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """With its arguments, and what it raised."""
    log = logging.getLogger("test")
    loop = Loop(log)
    later, error = LaterLog(loop, log), ZeroDivisionError("a fault")
    other = threading.Thread(target=lambda: later.error("it failed: %s", error, exc_info=error))
    other.start()
    other.join()
    assert caplog.records == []
    loop.run_once(1)
    assert caplog.messages == ["it failed: a fault"]
    assert caplog.records[0].threadName == threading.current_thread().name
    assert "ZeroDivisionError" in caplog.text
    loop.close()
