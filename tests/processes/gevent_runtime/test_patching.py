"""What gevent's patching may skip and what not; each case in a process of its own, because it patches."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import gc, importlib._bootstrap, os, shutil, sys, tempfile, types, warnings
from importlib import metadata
from ssl import SSLContext
from gevent import events, monkey
from nodecluster_compat.gevent_runtime import patching

class Plugin:
    def __init__(self, load, group="gevent.plugins.monkey.did_patch_all", module=""):
        self.load, self.group, self.module = load, group, module

def install(*entries, text="[gevent.plugins.monkey.did_patch_all]"):
    files = {"entry_points.txt": text}
    metadata.distributions = lambda **_: [types.SimpleNamespace(read_text=files.get, entry_points=entries)] * 2
"""
PLUGIN = """
told = []
install(Plugin(lambda: told.append), Plugin(None, "console_scripts"))
lookups = []
look_up = metadata.entry_points = lambda **group: lookups.append(group)
patching.prepare_patching()
with patching.patching():
    monkey.patch_all()
    metadata.entry_points(group="another")
print(len(told), type(told[0]).__name__, lookups, metadata.entry_points is look_up)
"""
NONE = """
install(Plugin(None), text=None)
metadata.entry_points = None
patching.prepare_patching()
with patching.patching():
    monkey.patch_all()
print("patched")
"""
LOADED = """
loads = []
names = ("sys", "not_yet_imported")
install(*(Plugin(lambda name=name: loads.append(name) or id, module=name) for name in names))
patching.prepare_patching()
early = list(loads)
with patching.patching():
    monkey.patch_all()
print(early, loads)
"""
FOLDERS = """
asked = []
metadata.distributions = lambda path: asked.append(*path) or ()
here = tempfile.mkdtemp()
sys.path[:] = [here, here + "/nothing", here, ""]
os.chdir(here)
os.utime(here, (0, 0))  # or a change in the same tick of the kernel would not be seen
for change in (lambda: None, lambda: None, lambda: os.mkdir("one.dist-info")):
    change()
    patching.find_plugins()
    print(asked.count(here), asked.count(""), len(asked), end=", ")
shutil.rmtree(here)
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
UNHELD = """
import gevent.ssl
del SSLContext
patching.prepare_patching()
unfrozen = []
thaw, gc.unfreeze = gc.unfreeze, lambda: unfrozen.append(True) or thaw()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    with patching.patching():
        monkey.patch_all()
print(unfrozen, seen)
"""
WARNING = """
if LOOKED_BEFORE:
    del SSLContext
    patching.prepare_patching()
    from ssl import SSLContext
if LOOKED_AFTER:
    patching.prepare_patching()
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
        (PLUGIN, "1 GeventDidPatchAllEvent [{'group': 'another'}] True"),
        (NONE, "patched"),
        (LOADED, "['sys'] ['sys', 'not_yet_imported']"),
        (FOLDERS, "1 0 1, 1 0 1, 2 0 2,"),
        (LOCK, "None True True"),
        (UNHELD, "[] []"),
        ("LOOKED_BEFORE = LOOKED_AFTER = False" + WARNING, "['MonkeyPatchWarning'] True"),
        ("LOOKED_BEFORE, LOOKED_AFTER = True, False" + WARNING, "['MonkeyPatchWarning'] True"),
        ("LOOKED_BEFORE, LOOKED_AFTER = False, True" + WARNING, "['MonkeyPatchWarning'] True"),
    ],
    ids=[
        "plug-ins are looked up once and told",
        "one that its distribution does not name is none",
        "one that would be imported is loaded by the worker",
        "a folder is read once until it changes",
        "a lock of an import is released",
        "objects stay frozen when nobody holds what is replaced",
        "gevent warns as ever, whoever was not asked",
        "of a module that came later",
        "of a module that was there",
    ],
)
def test_patching(source: str, says: str) -> None:
    """Faster, and to be noticed by nothing else."""
    ran = subprocess.run([sys.executable, "-c", BEGIN + source], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.returncode) == (says, 0), ran.stderr
