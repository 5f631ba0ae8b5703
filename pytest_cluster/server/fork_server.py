"""Fork servers instead of starting them by their commands: pytest's side of ``--cluster-fork-server``.

A start is 0.3 s of processor time for what every server imports.  So each process of pytest may have a template for
each program, ``gunicorn`` and ``nodecluster_compat``, and each kind of worker: a process that has imported what both
need and forks the servers of the tests (``template``).  It is started when the first server asks for it, and ends with
the run or with pytest.

A server that could tell is started by its command as ever (``forkable``); and so are all when there is no template,
because it does not start or was killed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from . import template
from .forkable import Imports, Template, program_of, why_not
from .forked import ForkedProcess
from .leaks import TAG_VARIABLE

__all__ = ["ForkServer", "fork_server"]

PROGRAMS = ("gunicorn", "nodecluster_compat")
"""What can be forked."""
# In place of these the template's children write their own command line and tag.
COMMAND_ROOM = "." * 2048
NO_TAG = "0" * 32
MOST_BYTES = 100_000
END_SECONDS = 5.0
MOST_SECONDS = 60.0
_FOR_SCRIPTS = Imports()

_KEEPS_ENVIRON = {"SPT_NOENV": "1"}
"""For setproctitle, which gunicorn imports where it is installed: it is to leave ``/proc/self/environ`` as it was."""


class _Connection:
    """A template process, and how to reach it."""

    def __init__(self, program: str, imports: Imports) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        own, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            words = [str(its.fileno()), program, imports.kind, imports.agent, COMMAND_ROOM]
            self._process = subprocess.Popen(
                [sys.executable, template.__file__, *words],
                env={**environment, TAG_VARIABLE: NO_TAG, **_KEEPS_ENVIRON},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        self._socket = own
        self._lock = threading.Lock()
        own.settimeout(MOST_SECONDS)
        try:
            said = json.loads(own.recv(template.MOST_BYTES) or b"{}")
        except OSError:  # it imports for ever: servers are started by their commands
            said = {}
        self.is_usable = bool(said)
        self.facts = Template(environment, said.get("names", ()), said.get("modules", {}))

    def ask(self, request: Mapping[str, object], descriptors: Iterable[int] = ()) -> dict[str, Any]:
        """Send a request and return the answer, which is empty to what is too large, or when the template is gone."""
        data = json.dumps(request).encode()
        if len(data) > MOST_BYTES:
            return {}
        with self._lock:
            try:
                socket.send_fds(self._socket, [data], list(descriptors))
                answer: dict[str, Any] = json.loads(self._socket.recv(template.MOST_BYTES) or b"{}")
            except OSError:
                answer = {}
        self.is_usable = self.is_usable and bool(answer)
        return answer

    def status_of(self, pid: int) -> int | None:
        """Return the return code of a child that has ended."""
        code: int | None = self.ask({"ended": pid}).get("returncode")
        return code

    def close(self) -> None:
        """End the template; what it has forked goes on."""
        self._socket.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkServer:
    """The templates of this process of pytest.  Several threads may start servers."""

    def __init__(self) -> None:
        self._runs: list[bool] = []
        self._templates: dict[tuple[str, Imports], _Connection] = {}
        self._pid = 0
        self._lock = threading.Lock()

    def acquire(self, *, wanted: bool) -> None:
        """Count a run of pytest, which wants its servers forked or not; one may run inside another."""
        self._runs.append(wanted)

    def drop(self) -> None:
        """Count out a run that has ended; end the templates with the last."""
        self._runs.pop()
        if not self._runs and self._pid == os.getpid():
            self.renew()

    def renew(self) -> None:
        """End the templates; the next server that asks for one gets a new one."""
        while self._templates:
            self._templates.popitem()[1].close()

    def start(
        self,
        command: list[str],
        *,
        folder: str,
        environment: Mapping[str, str],
        descriptors: Mapping[int, int],
        searched: Iterable[str] = (),
        imports: Imports = _FOR_SCRIPTS,
    ) -> ForkedProcess | None:
        """Fork a server in a session of its own; ``None`` when it has to be started by its command.

        :param descriptors: what it has at which number; 0, 1 and 2 at least.
        :param searched: folders that its settings add to ``sys.path``.
        :param imports: what it may find imported.
        """
        connection = self._template_of(program_of(command), imports) if os.path.isdir(folder) else None
        if connection is None or why_not(connection.facts, environment, [folder, *searched]):
            return None
        request = {
            "command": command,
            "folder": os.path.abspath(folder),
            "environment": dict(environment),
            "descriptors": list(descriptors),
            "umask": _umask(),
        }
        pid = connection.ask(request, descriptors.values()).get("pid")
        return None if pid is None else ForkedProcess(command, pid, connection.status_of)

    def _template_of(self, program: str, imports: Imports) -> _Connection | None:
        if not self._runs or not self._runs[-1] or program not in PROGRAMS or not hasattr(os, "pidfd_open"):
            return None
        if self._pid != os.getpid():  # a fork's lock may be held by a thread that it does not have
            self._lock, self._templates, self._pid = threading.Lock(), {}, os.getpid()
        with self._lock:
            found = self._templates.get((program, imports))
            if found is None:
                found = self._templates[program, imports] = _Connection(program, imports)
        return found if found.is_usable else None


def _umask() -> int:
    """Return this process' umask without changing it, as ``os.umask`` does."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))


fork_server: ForkServer = ForkServer()
