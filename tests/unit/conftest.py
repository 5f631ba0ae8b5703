"""What the unit tests share, and what none of them does: start a program."""

from __future__ import annotations

import sys

import pytest
from own_descriptors import no_leaks

__all__ = ["no_leaks"]


class Programs:
    """Notes that a test starts one; a hook of the interpreter's cannot be removed."""

    started: str | None = None

    @classmethod
    def note(cls, event: str, args: tuple[object, ...]) -> None:
        """Hear what the interpreter says."""
        if event in {"os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"}:
            cls.started = f"{event} of {args[0]!r}"


sys.addaudithook(Programs.note)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin to look."""
    Programs.started = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> object:
    """Refuse a program, of a test or of its fixtures: whoever runs the pure tests waits for seconds.

    A forked child is no program, and what it starts is not seen.
    """
    outcome = yield
    if Programs.started is not None:
        pytest.fail(f"{Programs.started}: a test that starts a program belongs into tests/processes", pytrace=False)
    return outcome
