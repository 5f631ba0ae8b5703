"""What one process of several says."""

from __future__ import annotations

import os

from nodecluster_compat.machine.said_once import Topic, allow_once, is_first_to_say


def test_one_of_several_processes_speaks() -> None:
    """Of each topic, and again after it was allowed again."""
    allow_once()
    pid = os.fork()
    if not pid:
        os._exit(int(is_first_to_say(Topic.REPLACED_HANDLERS)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert not is_first_to_say(Topic.REPLACED_HANDLERS)
    assert is_first_to_say(Topic.GRPC_UNPREPARED)
    allow_once()
    assert is_first_to_say(Topic.REPLACED_HANDLERS)
