"""Make a control group with little memory, where this machine lets us: below our own, in version 2 or 1."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass

from ..errors import FaultError

__all__ = ["MemoryGroup", "memory_group"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

MOUNT = "/sys/fs/cgroup"
MEMBERSHIPS = "/proc/self/cgroup"
PROCESSES = "cgroup.procs"


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A group that may use only so much memory.

    Attributes:
        path: its folder.
        parent: that of the group around it, which has its processes back at the end.
    """

    path: str
    parent: str

    def take(self, pid: int) -> None:
        """Move a process into it.

        :raises FaultError: the kernel does not let us.
        """
        try:
            _write(self.path, PROCESSES, str(pid))
        except OSError as error:
            raise _impossible(error) from None

    def release(self) -> None:
        """Move its processes back."""
        with contextlib.suppress(OSError), open(os.path.join(self.path, PROCESSES), encoding="ascii") as members:
            for pid in members.read().split():
                with contextlib.suppress(OSError):  # it has ended
                    _write(self.parent, PROCESSES, pid)

    def remove(self) -> None:
        """Remove it, if nobody is left in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def memory_group(most: int, *, mount: str = MOUNT, memberships: str = MEMBERSHIPS) -> MemoryGroup:
    """Make a group that may use *most* bytes of memory, and no swap.

    :param mount: where groups are.
    :param memberships: says which are ours.
    :raises FaultError: this machine lets nobody make one here.
    """
    parent, limits = _parent(mount, memberships)
    path = os.path.join(parent, f"pytest-cluster-{secrets.token_hex(4)}")
    try:
        os.mkdir(path)
    except OSError as error:
        raise _impossible(error) from None
    group = MemoryGroup(path, parent)
    try:
        for number, name in enumerate(limits):
            with contextlib.suppress(*([OSError] if number else [])):  # where swap is not counted there is no such file
                _write(path, name, "0" if name == "memory.swap.max" else str(most))
    except OSError as error:
        group.remove()
        raise _impossible(error) from None
    return group


def _parent(mount: str, memberships: str) -> tuple[str, tuple[str, ...]]:
    """Return our own group of memory, and the files of its limits."""
    with open(memberships, encoding="ascii") as file:
        found = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in found:
        if "memory" in controllers.split(","):
            return _joined(mount, "memory", path), ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    for _, controllers, path in found:
        if not controllers:
            return _joined(mount, "", path), ("memory.max", "memory.swap.max")
    raise FaultError("memory_group: this process is in no control group of memory; use memory_limit")


def _joined(mount: str, kind: str, path: str) -> str:
    own = os.path.join(mount, kind, path.lstrip("/"))
    return own if os.path.isdir(own) else os.path.join(mount, kind)  # in a container the path may be the host's


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write(text)


def _impossible(error: OSError) -> FaultError:
    return FaultError(
        f"memory_group: no control group can be made here ({error}); that takes root, or a group that is delegated to "
        "this user: use memory_limit, which gives a MemoryError"
    )
