"""What gevent's patching may skip and what not; each case in a process of its own, because it patches."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import gc, importlib._bootstrap, os, sys, types, warnings
from importlib import metadata
from ssl import SSLContext
from gevent import events, monkey
from nodecluster_compat.runtime import patching
"""
PLUGIN = """
told = []
entry = types.SimpleNamespace(load=lambda: told.append)
found = types.SimpleNamespace(select=lambda group: [entry] if group.endswith("did_patch_all") else [])
lookups = []
metadata.entry_points = lambda **group: lookups.append(group) or found
patching.look_for_plugins()
with patching.patching():
    monkey.patch_all()
print(len(told), type(told[0]).__name__, lookups, metadata.entry_points is not found.select)
"""
LOCK = """
lock = importlib._bootstrap._get_module_lock("under_way")
lock.acquire()
gc.freeze()
with patching.patching():
    monkey.patch_all()
lock.acquire(); lock.release(); lock.release()
print(lock.owner, gc.isenabled(), gc.get_freeze_count() > 1000)
"""
WARNING = """
gc.freeze()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    with patching.patching():
        monkey.patch_all()
print([type(one.message).__name__ for one in seen], "__main__" in str(seen[0].message))
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (PLUGIN, "1 GeventDidPatchAllEvent [{}] True"),
        (LOCK, "None True True"),
        (WARNING, "['MonkeyPatchWarning'] True"),
    ],
    ids=["plug-ins are looked up once and told", "a lock of an import is released", "gevent warns as ever"],
)
def test_patching(source: str, says: str) -> None:
    """Faster, and to be noticed by nothing else."""
    ran = subprocess.run([sys.executable, "-c", BEGIN + source], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.returncode) == (says, 0), ran.stderr
