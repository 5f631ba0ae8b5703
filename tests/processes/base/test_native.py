"""Which process decides whether the C extension serves, and when; each in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nodecluster_compat.base.native import PYTHON, in_force


def test_process_decides_once() -> None:
    """By its environment, when it is first asked."""
    code = "from nodecluster_compat.base.native import in_force; print(in_force().why_not)"
    environment = {**os.environ, "NODECLUSTER_NATIVE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "NODECLUSTER_NATIVE=0\n"
    assert in_force() is in_force()
    assert PYTHON.module is None


_BARE = """
from nodecluster_compat import _native
for kind, names in ((_native.CleanTurn, ["next_unserved"]), (_native.PlainAnswer, ["write", "start_response"])):
    for name in names:
        try:
            getattr(kind(), name)(*[b"", []][: {"next_unserved": 0, "write": 1}.get(name, 2)])
        except AttributeError as error:
            print(error)
"""


@pytest.mark.skipif(in_force().module is None, reason="there is no C extension here")
def test_object_that_has_nothing_refuses_what_it_cannot_do() -> None:
    """Even in a process that has made nothing else of the extension."""
    done = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.rpartition("'")[0].rpartition("'")[2] for line in done.stdout.splitlines()] == [
        "_receive",
        "write_in_python",
        "start_in_python",
    ]


_AGAIN = """
import sys
from nodecluster_compat import _native
from nodecluster_compat.base.native import choose
del sys.modules["nodecluster_compat._native"]
print(choose({}))
"""


@pytest.mark.skipif(in_force().module is None, reason="there is no C extension here")
def test_extension_that_is_imported_again_does_not_serve() -> None:
    """Objects of the first one are in use, and the second would take them for something else."""
    done = subprocess.run([sys.executable, "-c", _AGAIN], capture_output=True, text=True, check=True)
    assert done.stdout == ("in Python alone (the C extension does not load: this process has loaded it before)\n")
