"""Libraries that were loaded before gevent has patched; each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "naps.py": "from time import sleep, monotonic\nimport socket\n",
    "wires.py": "import socket\nclass Wire(socket.socket): pass\n",
    "lazy.py": (
        "from time import sleep\n"
        "class Lazy:\n"
        "    @property\n"
        "    def __class__(self): raise RuntimeError('not configured')\n"
        "    def __getattr__(self, name): raise RuntimeError('not configured')\n"
        "settings = Lazy()\n"
    ),
    "odd.py": (
        "class Meta(type):\n"
        "    def __getattribute__(cls, name): raise RuntimeError('odd')\n"
        "class Odd(metaclass=Meta): pass\n"
    ),
    "clean.py": "import time, socket, ssl, threading, select\nfrom threading import Lock\n",
    "site-packages/secure/__init__.py": "from . import tls\n",
    "site-packages/secure/tls.py": "import ssl\nfrom ssl import SSLContext\n",
    "site-packages/cloud.py": "import secure\n",
    "site-packages/cloudy.py": "from cloud import secure as something\nimport cloud\n",
    "uses.py": "import secure\n",
    "site-packages/grpc/__init__.py": "",
    "site-packages/grpc/_cython/__init__.py": "",
    "site-packages/grpc/_cython/cygrpc.py": "g_gevent_activated = False\n",
}
LINE = ". Write as the first line of gunicorn.conf.py: from gevent import monkey; monkey.patch_all()"
SAY = (
    "from nodecluster_compat.gevent_runtime.loaded_early import early_sentences\n"
    "print(*early_sentences(), sep='\\n', end='')"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(folder: Path, source: str) -> str:
    lead = "import sys; sys.path[:0] = ['.', 'site-packages']\n"
    done = subprocess.run([sys.executable, "-c", lead + source], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("loads", "found"),
    [
        ("clean", ""),
        ("naps", "naps (time.sleep: stops all of its worker while it waits)"),
        ("wires", "wires (socket.socket: stops all of its worker while it waits)"),
        ("uses, cloudy", "cloud, cloudy, secure (ssl.SSLContext: RecursionError)"),
    ],
)
def test_what_was_loaded_early_is_named(folder: Path, loads: str, found: str) -> None:
    """With what it has kept, and whatever stands on it; nothing of what any program has."""
    said = run(folder, f"import gunicorn.arbiter, asyncio, multiprocessing, urllib.request, {loads}\n{SAY}")
    assert said == (f"Loaded before gevent patches the workers: {found}{LINE}" if found else "")


def test_line_helps(folder: Path) -> None:
    """Where it comes first; where it does not, what was loaded before it is named."""
    patch = "from gevent import monkey; monkey.patch_all()\n"
    assert run(folder, f"{patch}import naps, wires, cloudy\n{SAY}") == ""
    assert "naps (time.sleep" in run(folder, f"import naps\n{patch}{SAY}")


def test_what_a_template_has_loaded_is_not_looked_at(folder: Path) -> None:
    """What its child loads is: also what was loaded before, and is loaded anew."""
    template = "import naps, lazy\nfrom nodecluster_compat.gevent_runtime import loaded_early\n"
    template += "loaded_early.take_for_known()\n"
    assert run(folder, f"{template}import clean\n{SAY}") == ""
    said = run(folder, f"{template}del sys.modules['naps']; import naps, uses\n{SAY}")
    assert said.startswith("Loaded before gevent patches the workers: secure (ssl.SSLContext: ")
    assert "); naps (time.sleep: " in said


def test_grpc_that_does_not_know_of_gevent(folder: Path) -> None:
    """Only where it is loaded."""
    ask = "from nodecluster_compat.gevent_runtime.loaded_early import is_grpc_unprepared as ask; print(ask())\n"
    load = "import grpc._cython.cygrpc as core; print(ask()); core.g_gevent_activated = True; print(ask())"
    assert run(folder, ask + load).split() == ["False", "True", "False"]


def test_objects_that_load_when_they_are_asked_are_asked_nothing(folder: Path) -> None:
    """Django's settings, say, which raise before they are configured."""
    assert "lazy (time.sleep" in run(folder, f"import lazy\n{SAY}")


def test_module_that_cannot_be_looked_at_stops_nothing(folder: Path) -> None:
    assert run(folder, f"import odd\n{SAY}").startswith("Could not look for libraries")
