"""``print()`` in one piece."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from nodecluster_compat.gevent_runtime.whole_prints import print_whole


class Stream(io.StringIO):
    """Remembers what was written in one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.flushed = 0

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)

    def flush(self) -> None:
        self.flushed += 1


def test_print_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a standard stream, whatever it has been replaced with; to others it is as Python's."""
    out, err, other = Stream(), Stream(), Stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    print_whole("a", 1, None, sep=", ", end=".\n")
    print_whole("a", flush=True)
    print_whole()
    print_whole("a", 1, file=err)
    print_whole("a", 1, file=other)
    assert (out.pieces, out.flushed) == (["a, 1, None.\n", "a\n", "\n"], 1)
    assert err.pieces == ["a 1\n"]
    assert other.pieces == ["a", " ", "1", "\n"]


@pytest.mark.parametrize("options", [{"sep": 1}, {"end": b""}])
def test_wrong_options_are_refused_as_by_python(options: dict[str, Any]) -> None:
    """With its sentence."""
    with pytest.raises(TypeError, match="must be None or a string"):
        print_whole("a", **options)


def test_program_without_output(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """As under ``pythonw``: nothing happens."""
    monkeypatch.setattr(sys, "stdout", None)
    print_whole("a")
    assert capfd.readouterr() == ("", "")
