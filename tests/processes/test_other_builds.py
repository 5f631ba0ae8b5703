"""The script that tests the extension in a debug build of CPython refuses another one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

NATIVE = Path(__file__).parents[2] / "native"


@pytest.fixture
def debugged(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(NATIVE))
    import debugged

    return debugged


def test_only_a_debug_build_will_do(debugged: ModuleType) -> None:
    assert debugged.is_fit(sys.executable) is hasattr(sys, "gettotalrefcount")
    assert not debugged.is_fit("/nonexistent/python")
