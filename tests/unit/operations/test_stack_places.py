"""At which line of code greenlets and threads are, by their stacks."""

from __future__ import annotations

from nodecluster_compat.operations.stack_places import place_of_worker, places_of

THREADS = """\
Thread 0x00007f01 (most recent call first):
  File "/lib/threading.py", line 324 in wait
  File "/srv/jobs.py", line 9 in work

Current thread 0x00007f02 (most recent call first):
  File "/venv/gevent/hub.py", line 5 in run
  File "/venv/gevent/hub.py", line 4 in main
"""
GREENLETS = """
Greenlet 0x7f0a, Greenlet 0x7f0b and 3 more:
  File "/venv/gunicorn/workers/base_async.py", line 20, in handle
    self.handle_request()
  File "/srv/app.py", line 12, in index
    sleep(1)
  File "/venv/gevent/hub.py", line 3, in switch
    return greenlet.switch(self)
Task 'Task-12' (handle) waits:
  File "/srv/app.py", line 30, in wait
    await nothing()
_Hub 0x7f0c (running):
  (no frame)
(end of the stacks)
"""


def test_places() -> None:
    """The newest frame that is not the server's; where there is no other, the newest."""
    assert places_of(THREADS + GREENLETS) == {
        0x7F01: "/lib/threading.py:324 in wait",
        0x7F02: "/venv/gevent/hub.py:5 in run",
        0x7F0A: "/srv/app.py:12 in index",
        0x7F0B: "/srv/app.py:12 in index",
        12: "/srv/app.py:30 in wait",
    }
    assert place_of_worker(THREADS + GREENLETS) == "/venv/gevent/hub.py:5 in run"


def test_text_without_places() -> None:
    for text in (
        "",
        "(no stacks: it is not prepared to be asked)",
        'Greenlet 0x1:\n  File "cut',
        "0x12345678901234567",
    ):
        assert places_of(text) == {}
        assert place_of_worker(text) is None
