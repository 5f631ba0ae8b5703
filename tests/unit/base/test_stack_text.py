"""The stack of a request, without the server around it."""

from __future__ import annotations

import sys
from types import FrameType

from nodecluster_compat.base.stack_text import stack_of_application


def frame_in(*files: str) -> FrameType:
    """Return the newest frame of calls from each file into the next one."""
    found: list[FrameType] = []
    call = lambda: found.append(sys._getframe(1))  # noqa: E731
    for file in reversed(files):
        scope = {"call": call}
        exec(compile("def caller():\n    call()\n", file, "exec"), scope)
        call = scope["caller"]
    call()
    return found[0]


def files_in(stack: str) -> list[str]:
    return [line.split('"')[1] for line in stack.splitlines() if line.startswith("  File ")]


def test_outer_frames_of_the_server_are_left_out() -> None:
    newest = frame_in("/srv/shop.py", "/lib/gevent/hub.py")
    assert files_in(stack_of_application(newest))[-2:] == ["/srv/shop.py", "/lib/gevent/hub.py"]
    newest = frame_in("/x/gunicorn/base.py", "/x/nodecluster_compat/loop.py", "/srv/shop.py", "/x/gevent/hub.py")
    assert "/srv/shop.py" in files_in(stack_of_application(newest))


def test_stack_that_is_all_the_servers_is_told_as_it_is() -> None:
    import threading

    frames: list[str] = []
    code = compile("tell(stack_of(frame()))", "/x/gunicorn/base.py", "exec")
    scope = {"tell": frames.append, "stack_of": stack_of_application, "frame": sys._getframe}
    thread = threading.Thread(target=exec, args=(code, scope))
    thread.start()
    thread.join()
    assert files_in(frames[0])[-1] == "/x/gunicorn/base.py"
    assert files_in(frames[0])[0].endswith("threading.py")
    assert stack_of_application(None) == ""
