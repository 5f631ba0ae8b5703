"""Record what Node or the stock worker said, for each of their versions, so that ours can be compared without them.

A recording is a file of JSON beside the tests that use it.  ``pytest -m slow --record -n 0`` on these tests writes
what the installed version says, and without ``--record`` they verify that it still says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from pathlib import Path
from typing import Any, Final

__all__ = ["Recording", "told"]

_LONG: Final = 2000


class Recording:
    """The answers of one version, by name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self._answers

    def __getitem__(self, name: str) -> Any:
        assert name in self._answers, f"{self._path.name} has no {name!r}: run its slow tests with --record"
        return self._answers[name]

    def write(self, name: str, answers: Any) -> None:
        """Replace what is recorded by this name; other processes may write theirs."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            self._answers = {**json.loads(file.read() or "{}"), name: answers}
            file.truncate(0)
            file.write(json.dumps(self._answers, indent=1, sort_keys=True) + "\n")


def told(answer: bytes) -> str:
    """Return an answer as text that can be recorded: of a long one, its beginning, its length and its hash."""
    text = answer.decode("latin-1")
    if len(text) <= _LONG:
        return text
    return f"{text[:300]}... {len(text)} bytes, {hashlib.sha256(answer).hexdigest()}"
