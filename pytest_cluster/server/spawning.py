"""Start the process of a server: forked from a template where that makes no difference, or else by its command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from .fork_server import fork_server
from .forkable import Imports
from .forked import ForkedProcess

__all__ = ["Process", "spawn"]

Process: TypeAlias = "subprocess.Popen[bytes] | ForkedProcess"


def spawn(
    command: list[str],
    *,
    folder: str,
    environment: Mapping[str, str],
    log: int,
    passed: int,
    searched: Iterable[str],
    imports: Imports | None,
    here: bool = False,
) -> Process:
    """Start a server in a session of its own.

    :param log: the descriptor for what it prints.
    :param passed: a descriptor that it inherits.
    :param searched: folders that its settings add to ``sys.path``.
    :param imports: what it may find imported when it is forked; ``None`` when it must not be.
    :param here: fork it from this process, with all that is in it.
    :raises OSError: it cannot be started.
    """
    if here:
        from .own_fork import fork_here

        return fork_here(command, folder=folder, environment=environment, log=log, passed=passed)
    forked = None
    if imports is not None:
        with open(os.devnull, "rb") as nothing:
            forked = fork_server.start(
                command,
                folder=folder,
                environment=environment,
                descriptors={0: nothing.fileno(), 1: log, 2: log, passed: passed},
                searched=searched,
                imports=imports,
            )
    return forked or _started(command, folder, environment, log, passed)


def _started(
    command: list[str], folder: str, environment: Mapping[str, str], log: int, passed: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(passed,),
        start_new_session=True,
    )
