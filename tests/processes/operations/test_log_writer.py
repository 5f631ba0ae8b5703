"""A process ends while its log is stuck."""

import subprocess
import sys
from pathlib import Path

import pytest

ENDING = """
import logging, logging.handlers, os, socket, sys, threading
from nodecluster_compat.operations.log_writer import LogWriter

logger = logging.getLogger("gunicorn.error")
writer = LogWriter([logger])
kept = logging.handlers.MemoryHandler(10, target=logging.FileHandler(sys.argv[1]))
"""
FULL_SYSLOG = """
nobody = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
nobody.bind(sys.argv[2])
syslog = logging.handlers.SysLogHandler(sys.argv[2], socktype=socket.SOCK_DGRAM)
try:
    while True:
        syslog.socket.send(b"x", socket.MSG_DONTWAIT)
except BlockingIOError:
    pass
logger.addHandler(syslog)
writer.begin()
logger.error("nobody reads this")
"""
LOST_FIFO = """
os.mkfifo(sys.argv[2])
reader = os.open(sys.argv[2], os.O_RDONLY | os.O_NONBLOCK)
fifo = logging.FileHandler(sys.argv[2])
logger.addHandler(fifo)
writer.begin()
os.close(reader)
held = threading.Event()
def reopen():
    with fifo.lock:
        held.set()
        fifo.close()
        fifo.stream = fifo._open()
writer.call(reopen)
held.wait()
"""
END = """
kept.emit(logging.makeLogRecord({"msg": "flushed", "levelno": 20}))
writer.finish(0.01)
print("ended", flush=True)
"""


@pytest.mark.parametrize("stuck", [FULL_SYSLOG, LOST_FIFO], ids=["full syslog", "FIFO without a reader"])
def test_process_ends_though_the_thread_is_stuck_in_a_handler(tmp_path: Path, stuck: str) -> None:
    """``logging.shutdown`` wants the lock of each handler; those that nobody is stuck in are flushed by it."""
    log, place = tmp_path / "log", tmp_path / "place"
    command = [sys.executable, "-c", ENDING + stuck + END, str(log), str(place)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "ended\n", "")
    assert log.read_text() == "flushed\n"
