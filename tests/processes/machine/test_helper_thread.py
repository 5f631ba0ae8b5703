"""A thread beside forks, where others have hooks at a fork, too."""

import subprocess
import sys

HOOKED = """
import os
import nodecluster_compat
seen = []
look = lambda: seen.append(thread.is_running)
os.register_at_fork(before=look, after_in_parent=look)
from nodecluster_compat.machine.helper_thread import HelperThread
def work():
    while not thread.is_stopping:
        os.read(reading, 1)
reading, writing = os.pipe()
thread = HelperThread("a helper", work, lambda: os.write(writing, b"x"), print)
thread.start()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
assert thread.stop()
print(seen)
"""


def test_hooks_of_others_keep_no_thread_from_its_work() -> None:
    """It runs while they do, before a fork and behind it, if the package was imported before they were registered."""
    done = subprocess.run([sys.executable, "-c", HOOKED], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True]\n"
