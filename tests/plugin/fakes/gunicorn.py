"""Stands in for gunicorn (``python -m`` looks in the working directory first); its "application" says how.

It speaks the journal as the real primary does, for as many ``sleep`` processes as there should be workers.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import types
from typing import Any

ADDRESS = {"address_type": 4, "fd": None}
IDLE = ["sleep", "60"]


class FakeServer:
    """Writes the story of one cluster and holds its processes."""

    def __init__(self, conf: dict[str, Any]) -> None:
        self.journal = int(os.environ["NODECLUSTER_JOURNAL_FD"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        host, port = self.listener.getsockname()
        self.address = {"address": host, "port": port, **ADDRESS}
        self.conf = conf
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.asked_to_end = False

    def write(self, event: str, worker: int, state: str, **more: Any) -> None:
        record = {"time": time.monotonic(), "event": event, "worker": worker, "state": state, **more}
        os.write(self.journal, json.dumps({"pid": self.workers[worker].pid, **record}).encode() + b"\n")

    def start(self, *, listening: bool = True) -> None:
        for worker in range(1, self.conf["workers"] + 1):
            self.workers[worker] = subprocess.Popen(IDLE)
            self.write("fork", worker, "none")
            self.write("online", worker, "online")
            if listening:
                self.write("listening", worker, "listening", address=self.address)

    def serve(self) -> None:
        """Tell of workers that end, until SIGTERM."""
        while not self.asked_to_end:
            for worker, process in list(self.workers.items()):
                if process.poll() is not None:
                    self.tell_end(worker, asked=False)
            time.sleep(0.01)

    def tell_end(self, worker: int, *, asked: bool) -> None:
        code = self.workers[worker].returncode
        ended = {"code": code, "signal": None} if code >= 0 else {"code": None, "signal": signal.Signals(-code).name}
        self.write("disconnect", worker, "disconnected", exited_after_disconnect=asked)
        self.write("exit", worker, "dead", exited_after_disconnect=asked, **ended)
        del self.workers[worker]

    def ask_to_end(self, *_: Any) -> None:
        self.asked_to_end = True

    def terminate(self) -> None:
        for worker, process in list(self.workers.items()):
            process.terminate()
            process.wait()
            self.tell_end(worker, asked=True)


def main() -> None:
    how = sys.argv[-1]
    # What the plugin has the real one check: it would import gunicorn, and find this file again.
    known = types.SimpleNamespace(check_settings=lambda names: None)
    sys.modules["nodecluster_compat._gunicorn.known_settings"] = known  # type: ignore[assignment]
    server = FakeServer(runpy.run_path(sys.argv[sys.argv.index("-c") + 1]))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else server.ask_to_end)
    print(f"fake server: {how}", flush=True)
    if how == "dies":
        sys.exit(3)
    if how == "garbage":
        os.write(server.journal, b"neither JSON\n{}\n")
    if how == "leaky":
        print("left behind:", subprocess.Popen(IDLE).pid, flush=True)
    server.start(listening=how != "stuck")
    server.serve()
    server.terminate()


main()
