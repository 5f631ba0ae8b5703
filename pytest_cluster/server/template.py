"""Import a program once and fork its processes: the template, a process that a fork server of this run has.

Most of a server's start is importing, and that is the same each time.  The template imports what the program and its
workers will, and uses none of it: no thread, no hub, nothing patched, nothing opened but the connection to pytest.  For
each request it forks a child, which makes itself what ``python -m program`` would be, and runs the program as
``__main__``.  So the child has:

- a session, a folder and a umask of its own, and the descriptors of the request at their numbers, no others;
- the environment of the request, in ``os.environ``, for programs written in C, and with its tag in ``/proc`` as well;
- the command line of the request, in ``sys.argv``, ``sys.orig_argv`` and ``/proc``;
- ``sys.path`` as ``-m`` and ``PYTHONPATH`` make it, standard streams of its own, an empty ``__main__``.

It keeps what a new process would make anew and nobody can tell apart: the seed of hashes, the addresses of the memory.
What the template has imported is frozen: whoever looks at all objects of a server, as a collection before a first fork
or a search for open files at the end, looks at what is its own, and copies no page of what it shares.
A traceback has the frames of this file at its top.
At its end everything runs that Python runs (threads are waited for, ``atexit``, the streams), but nothing that modules
hold is destroyed.  What depends on more than this is not forked (``forkable``).

An ended child stays a zombie until pytest asks for its status, as with ``subprocess``.  The template ends with pytest.

Standard library only, and no relative import: this file runs alone.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import socket
import sys
import threading  # noqa: F401 - what ends a program's threads is found in sys.modules, patched or not
from collections.abc import Callable
from typing import Any

__all__ = ["main"]

TAG_VARIABLE = "PYTEST_CLUSTER_TAG"
PRELOADING = "nodecluster_compat._gunicorn.preloading"
MOST_BYTES = 1 << 20
MOST_DESCRIPTORS = 16


class _Noted(os._Environ):  # type: ignore[type-arg]  # which has no public name
    """The environment, which notes the names that modules read while they are imported."""

    names: set[str] = set()  # noqa: RUF012 - of the process, like the class

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - as the class has it
        self.names.add(key)
        return super().__getitem__(key)


def main() -> Callable[[], object] | None:
    """Serve requests until pytest has gone; in a child, return what runs the program."""
    descriptor, program, kind, agent = int(sys.argv[1]), *sys.argv[2:5]
    pytest = socket.socket(fileno=descriptor)
    own_folder, standard = sys.path.pop(0), list(sys.path)
    sys.path_importer_cache.pop(own_folder, None)
    pytest.send(json.dumps(_imported(program, kind, agent)).encode())
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(pytest, MOST_BYTES, MOST_DESCRIPTORS)
        if not data:
            os._exit(0)
        request = json.loads(data)
        if "ended" in request:
            answer = _status_of(request["ended"])
        else:
            pid = os.fork()
            if not pid:
                pytest.close()
                return _become(request, descriptors, standard)
            for each in descriptors:
                os.close(each)
            answer = {"pid": pid}
        pytest.send(json.dumps(answer).encode())


def _imported(program: str, kind: str, agent: str) -> dict[str, object]:
    """Import everything; return what of this process a server must share to be forked here."""
    os.environ.__class__ = _Noted
    preloading = _preloading()
    preloading.import_program(program, kind)
    if agent:
        importlib.import_module(agent)
    os.environ.__class__ = os._Environ
    preloading.find_out_early(kind)
    return {"names": sorted(_Noted.names.difference(preloading.FOUND_OUT_AGAIN)), "modules": _modules()}


def _preloading() -> Any:  # noqa: ANN401 - a module
    return importlib.import_module(PRELOADING)


def _modules() -> dict[str, str]:
    """Return where the modules at the top level were found; not those that Python has built in."""
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and "." not in name and name != "__main__":
            found[name] = os.path.realpath(path)
    return found


def _status_of(pid: int) -> dict[str, int | None]:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return {"returncode": None}
    return {"returncode": os.waitstatus_to_exitcode(status) if ended else None}


def _become(request: dict[str, Any], descriptors: list[int], standard: list[str]) -> Callable[[], object]:
    """In a child: be the process of the request; return what runs its program."""
    os.setsid()
    _place(descriptors, request["descriptors"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    program, *arguments = request["command"][2:]
    os.environ.clear()
    os.environ.update(request["environment"])
    _write_into_proc(request["command"], request["environment"].get(TAG_VARIABLE, ""))
    sys.argv[:] = ["-m", *arguments]
    sys.orig_argv[:] = request["command"]
    sys.path[:] = [os.getcwd(), *_import_path(request["environment"].get("PYTHONPATH", ""), standard)]
    importlib.invalidate_caches()
    _preloading().find_out_again()
    sys.modules.pop(PRELOADING)
    _renew_streams()
    return lambda: _run(program)


def _place(descriptors: list[int], numbers: list[int]) -> None:
    """Give the descriptors of a request the numbers that they have there, where they are inherited."""
    safe = max(numbers) + 1
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, safe) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, number in zip(moved, numbers, strict=True):
        os.dup2(each, number)
        os.close(each)


def _import_path(folders: str, standard: list[str]) -> list[str]:
    """Return ``sys.path`` after its first entry, as ``site`` makes it of PYTHONPATH."""
    named = [os.path.abspath(folder) for folder in folders.split(os.pathsep)] if folders else []
    return list(dict.fromkeys([*named, *standard]))


def _renew_streams() -> None:
    """Make the standard streams anew: buffers and positions are those of the new descriptors."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        former = getattr(sys, name)
        is_raw = isinstance(former.buffer, io.RawIOBase)  # as PYTHONUNBUFFERED has it
        buffer: Any = open(number, "wb" if number else "rb", 0 if is_raw else -1, closefd=False)  # noqa: SIM115
        getattr(buffer, "raw", buffer).name = f"<{name}>"
        newline = "\n" if number else None
        stream = io.TextIOWrapper(
            buffer, former.encoding, former.errors, newline, former.line_buffering, former.write_through
        )
        stream.mode = "w" if number else "r"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _write_into_proc(command: list[str], tag: str) -> None:
    """Write over the command line and the tag that this process began with, where ``/proc`` shows them."""
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    arguments, arguments_end, environment = (int(field) for field in fields[45:48])
    with open("/proc/self/environ", "rb") as environ:
        entry = f"{TAG_VARIABLE}=".encode()
        offset = (b"\0" + environ.read()).index(b"\0" + entry)
    shown = b"".join(os.fsencode(word) + b"\0" for word in command)
    size = arguments_end - arguments
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(arguments)
        memory.write(shown[: size - 1].ljust(size, b"\0"))
        memory.seek(environment + offset + len(entry))
        memory.write(tag.encode()[:32].ljust(32, b"0"))


def _run(program: str) -> None:
    """Run a program as ``__main__``, in whose namespace nothing is left of this file."""
    run: Any = runpy._run_module_as_main  # type: ignore[attr-defined]  # what "python -m" calls
    end = _end
    namespace: dict[str, Any] = vars(sys.modules["__main__"])
    for name in namespace.keys() - {"__name__", "__builtins__", "__annotations__"}:
        del namespace[name]
    code = 0
    try:
        run(program)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise  # Python prints what it says
        code = ended.code or 0
    end(code)  # outside: nothing refers to the program's frames any more


def _end(code: int, *, sys: Any = sys, atexit: Any = atexit, leave: Callable[[int], object] = os._exit) -> None:  # noqa: ANN401 - modules, which this file's namespace does not have any more
    """End as Python does, but leave the memory to the system.

    To take apart every module of a program is a tenth of a second of processor time, in each of its processes: pages
    that were shared with the template until then are copied first.
    """
    for finish in (sys.modules["threading"]._shutdown, atexit._run_exitfuncs):
        try:
            finish()
        except BaseException:  # noqa: BLE001 - of a handler of signals: as Python has it, the end goes on
            sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - closed, none, or a full disk: Python's exit code is 120 for the last
            code = 120 if stream is sys.stdout and not getattr(stream, "closed", True) else code
    leave(code & 0xFF)


if __name__ == "__main__":
    run_program: Callable[[], object] | None = main()
    if run_program is not None:
        run_program()
