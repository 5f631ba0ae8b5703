"""The libraries of a server are immortal where Python can have that: each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nodecluster_compat.base.native import in_force

CAN = sys.version_info >= (3, 12) and in_force().module is not None
IN_SERVER = """
import sys, {module} as library
from nodecluster_compat.machine.immortal import make_immortal
print(make_immortal(getattr(library, {left_out!r}, None)) > 5000)
one = getattr(library, {asked!r})
before = sys.getrefcount(one)
more = [one] * 100
print(sys.getrefcount(one) - before)
"""


@pytest.mark.skipif(not CAN, reason="needs Python 3.12 and the C extension")
@pytest.mark.parametrize(
    ("module", "left_out", "asked", "counted"),
    [
        pytest.param("gunicorn.arbiter", "", "Arbiter", 0, id="a library"),
        pytest.param("ssl", "SSLContext", "SSLContext", 100, id="what is left out"),
        pytest.param("pytest", "", "raises", 100, id="of the application"),
    ],
)
def test_libraries_are_immortal(module: str, left_out: str, asked: str, counted: int) -> None:
    code = IN_SERVER.format(module=module, left_out=left_out, asked=asked)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50)
    assert done.stdout.split() == ["True", str(counted)], done.stderr
