"""Orders of an operator in a worker."""

from __future__ import annotations

import _thread
import json

import pytest

from nodecluster_compat._gunicorn.worker.obeying import Obedience
from nodecluster_compat.machine.notebook import Notebook


def test_order_that_finds_no_thread_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is obeyed in a signal handler, where an exception would come out of anything."""

    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    notebook = Notebook()
    obedience = Obedience(notebook)
    number = notebook.give_order("heap show 25")
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert obedience.obey()
    result = notebook.result_of(number)
    assert result is not None
    assert "start new thread" in (result if isinstance(result, str) else json.dumps(result))
    notebook.close()
