"""The scripts that test the extension in other builds run what they are asked to."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

NATIVE = Path(__file__).parents[2] / "native"


@pytest.fixture
def sanitized(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(NATIVE))
    import sanitized

    return sanitized


def test_words_that_are_no_kind_are_pytests(sanitized: ModuleType) -> None:
    assert sanitized.sorted_out(["leak", "../tests/unit/x.py", "stack"]) == (["leak", "stack"], ["../tests/unit/x.py"])
    kinds, tests = sanitized.sorted_out(["../tests/unit/x.py"])
    assert (kinds, tests) == (["address", "stack", "undefined", "thread", "leak"], ["../tests/unit/x.py"])


def test_tests_of_a_kind_are_there(sanitized: ModuleType) -> None:
    """A file that was moved would end the run of the kind."""
    files = [word for kind in sanitized.KINDS.values() for word in kind.tests if word.endswith(".py")]
    assert files
    assert [name for name in files if not (NATIVE / name).is_file()] == []
