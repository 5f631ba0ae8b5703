"""Log records on a thread of their own: real pipes, files and forks, no server."""

import io
import logging
import logging.handlers
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_descriptors import own_descriptors

from nodecluster_compat.operations import log_queue, log_thread, log_writer
from nodecluster_compat.operations.log_writer import LogWriter


class Pipe:
    """A pipe of one page; its writing end is a stream."""

    def __init__(self) -> None:
        self.read_end, write_end = os.pipe()
        self.size = os.fpathconf(write_end, "PC_PIPE_BUF")
        import fcntl

        fcntl.fcntl(write_end, 1031, self.size)  # F_SETPIPE_SZ, which has no name before Python 3.10
        self.stream = open(write_end, "w", encoding="utf-8")  # noqa: SIM115 - the test closes it

    def read(self, until: str) -> str:
        """Return what comes, up to the line that ends so."""
        text = ""
        while not text.endswith(until):
            text += os.read(self.read_end, 65536).decode()
        return text

    def close(self) -> None:
        os.close(self.read_end)
        self.stream.close()


class Logged:
    """A logger with its writer."""

    def __init__(self) -> None:
        self.logger = logging.Logger("gunicorn.error")  # noqa: LOG001 - not the process's
        self.writer = LogWriter([self.logger])
        self.pipe = Pipe()

    def add(self, handler: logging.Handler, form: str = "%(message)s") -> Any:
        handler.setFormatter(logging.Formatter(form))
        self.logger.addHandler(handler)
        self.writer.follow()
        return handler

    def add_pipe(self) -> logging.Handler:
        handler: logging.Handler = self.add(logging.StreamHandler(self.pipe.stream))
        return handler

    def stall(self) -> list[str]:
        """Log until nothing more is taken; return the lines."""
        lines = [f"{number} " + "x" * 1000 for number in range(8)]
        for line in lines:
            self.logger.info(line)
        assert self.writer._is_stalled
        return lines


@pytest.fixture
def logged() -> Iterator[Logged]:
    logged = Logged()
    logged.writer.begin()
    yield logged
    logged.writer.finish(0)
    logged.pipe.close()


def in_child(check: Callable[[], bool]) -> bool:
    """Return what ``check`` says in a forked child."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def test_record_is_written_before_what_follows(logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the log after an event finds what was logged before it, and each line once."""
    monkeypatch.setattr(log_writer, "_MOMENT_SECONDS", 30)
    logged.add(logging.FileHandler(tmp_path / "log"))
    for number in range(100):
        logged.logger.info("line %s", number)
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(100)]


def test_stream_of_the_program_gets_each_record(logged: Logged) -> None:
    """What stands in place of standard error, has its descriptor, and does more than write."""
    copied: list[str] = []

    class Tee:
        fileno, flush = logged.pipe.stream.fileno, logged.pipe.stream.flush

        def write(self, text: str) -> int:
            copied.append(text)
            return logged.pipe.stream.write(text)

    logged.add(logging.StreamHandler(Tee()))
    logged.logger.info("said twice")
    assert logged.pipe.read("said twice\n") == "said twice\n"
    assert "said twice" in "".join(copied)


def test_pipe_that_nobody_reads_holds_up_nobody_and_order_is_kept(logged: Logged) -> None:
    logged.add_pipe()
    lines = logged.stall()
    logged.logger.info("last")
    assert logged.pipe.read("last\n").splitlines() == [*lines, "last"]
    assert logged.writer.flush(10)
    assert not logged.writer._is_stalled


def test_what_is_dropped_is_said_when_it_flows_again(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "MOST_RECORDS", 8)
    logged.add_pipe()
    lines = logged.stall()
    for _ in range(20):
        logged.logger.info("x")
    said = logged.pipe.read("nobody took them in time\n").splitlines()
    assert said[: len(lines)] == lines
    kept = said[len(lines) : -1]
    assert said[-1] == f"{20 - len(kept)} log records were dropped here: nobody took them in time"


def test_what_could_not_be_written_is_said_with_the_next_line(logged: Logged, tmp_path: Path) -> None:
    """A disk that was full, a reader that came back."""
    handler = logged.add(logging.StreamHandler(open("/dev/full", "w", encoding="ascii")))  # noqa: SIM115
    logged.logger.info("lost")
    logged.logger.info("lost")
    full, handler.stream = handler.stream, open(tmp_path / "log", "w", encoding="ascii")  # noqa: SIM115
    logged.logger.info("kept")
    assert logged.writer.flush(30)
    full.close()
    handler.stream.close()
    assert (tmp_path / "log").read_text().splitlines() == [
        "2 log records were dropped here: nobody took them in time",
        "kept",
    ]


def test_last_words_are_waited_for_and_not_for_ever(logged: Logged) -> None:
    logged.add_pipe()
    logged.stall()
    reader = threading.Thread(target=logged.pipe.read, args=["last words\n"])
    reader.start()
    logged.logger.info("last words")
    logged.writer.finish(30)
    reader.join()
    logged.logger.info("later")
    assert logged.pipe.read("later\n") == "later\n"


def test_end_does_not_wait_for_a_reader_that_never_comes(logged: Logged) -> None:
    logged.add_pipe()
    logged.stall()
    logged.writer.finish(0.01)
    logged.logger.info("dropped: it would wait for ever")


def test_handler_that_blocks_holds_up_nobody(logged: Logged) -> None:
    """Syslog, or a handler of a user's: it emits on the thread."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    goes_on = threading.Event()

    class Blocking(logging.Handler):
        said: list[str] = []  # noqa: RUF012 - of this test

        def emit(self, record: logging.LogRecord) -> None:
            assert goes_on.wait(30)
            self.said.append(record.getMessage())

    handler = logged.add(Blocking())
    changing = [1]
    for _ in range(3):
        logged.logger.info("%s", changing)
    changing.append(2)
    assert in_child(lambda: logged.writer.abandon() or not handler.filters)
    goes_on.set()
    assert logged.writer.flush(30)
    assert handler.said == ["[1]"] * 3
    near.close()
    far.close()


def test_filters_and_formatters_of_a_user_run_where_it_is_logged(logged: Logged) -> None:
    threads: list[int] = []

    class Noting(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            threads.append(threading.get_ident())
            return super().format(record)

    handler = logged.add_pipe()
    handler.removeFilter(handler.filters[0])
    handler.addFilter(lambda record: threads.append(threading.get_ident()) or "secret" not in record.msg)
    logged.writer._detours.clear()
    logged.writer.follow()
    handler.setFormatter(Noting())
    logged.logger.info("a secret")
    logged.logger.info("public")
    assert logged.pipe.read("\n") == "public\n"
    assert threads == [threading.get_ident()] * 3


def test_text_that_the_stream_cannot_encode_is_the_handlers_error(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with open(tmp_path / "log", "w", encoding="ascii") as file:
        logged.add(logging.StreamHandler(file))
        logged.logger.info("ä")
        logged.logger.info("%d", "no number")
        logged.logger.info("on")
        assert logged.writer.flush(30)
    assert (tmp_path / "log").read_text() == "on\n"
    assert "UnicodeEncodeError" in sys.stderr.getvalue()
    assert "TypeError" in sys.stderr.getvalue()


def test_printed_text_stands_before_what_is_logged_later(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "_MOMENT_SECONDS", 30)
    with open(tmp_path / "log", "w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        logged.add(logging.StreamHandler(file))
        print("printed")
        logged.logger.info("logged")
        assert (tmp_path / "log").read_text() == "printed\nlogged\n"


def test_files_are_opened_again_in_the_order_of_the_records(logged: Logged, tmp_path: Path) -> None:
    handler = logged.add(logging.FileHandler(tmp_path / "log"))

    def reopen() -> None:
        handler.close()
        handler.stream = handler._open()

    logged.logger.info("before")
    (tmp_path / "log").rename(tmp_path / "log.1")
    logged.writer.call(reopen)
    logged.logger.info("after")
    assert logged.writer.flush(30)
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert (tmp_path / "log").read_text() == "after\n"
    handler.close()


def test_files_that_cannot_be_opened_again_are_told(logged: Logged) -> None:
    logged.add_pipe()
    logged.writer.call(lambda: os.open("/no/such/folder", os.O_RDONLY))
    assert logged.writer.flush(30)
    said = logged.pipe.read("'/no/such/folder'\n")
    assert said.startswith("The log files could not be opened again\nTraceback")


def test_handlers_that_go_are_let_go(logged: Logged, tmp_path: Path) -> None:
    """A reload makes new ones; a thousand reloads leave nothing."""
    for number in range(5):
        handler = logged.add(logging.FileHandler(tmp_path / f"log.{number}"))
        logged.logger.info("x")
        logged.logger.removeHandler(handler)
        logged.writer.follow()
        handler.close()
    assert logged.writer.flush(30)
    assert [name for name in own_descriptors().values() if name.startswith(str(tmp_path))] == []
    assert handler.filters == []
    assert logged.writer._thread._outlets == {}


def test_handlers_above_are_followed_where_records_go_there(logged: Logged) -> None:
    root = logging.Logger("root")  # noqa: LOG001 - as above
    root.addHandler(logging.StreamHandler(logged.pipe.stream))
    logged.logger.parent = root
    logged.writer.follow()
    logged.stall()
    logged.logger.propagate = False
    logged.writer.follow()
    assert root.handlers[0].filters == []


def test_child_logs_by_itself_and_shares_nothing(logged: Logged) -> None:
    """However stuck the primary's log is: no record of the queue, no lock, no descriptor, no half a line."""
    handler = logged.add_pipe()
    lines = logged.stall()
    thread = logged.writer._thread
    fds = [thread._wakes, *(outlet.fileno() for outlet in thread._outlets.values())]

    def check() -> bool:
        logged.writer.abandon()
        is_free = not any(os.path.exists(f"/proc/self/fd/{fd}") for fd in fds)
        logged.pipe.stream.flush()  # nothing is in it, or this would wait for ever
        handler.stream = io.StringIO()
        logged.logger.info("mine")
        return is_free and handler.stream.getvalue() == "mine\n" and not handler.filters

    assert in_child(check)
    assert logged.pipe.read(lines[-1] + "\n").splitlines() == lines


def test_child_of_a_writer_amid_a_files_buffer_opens_the_file_again(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler of a user's may hold the lock of its stream in the moment of the fork: in the child for ever."""
    monkeypatch.setattr(log_thread, "_PATIENCE", 0.0)
    entered, goes_on = threading.Event(), threading.Event()

    class Rotating(logging.handlers.RotatingFileHandler):
        def emit(self, record: logging.LogRecord) -> None:
            if not goes_on.is_set():
                entered.set()
                assert goes_on.wait(30)
            super().emit(record)

    handler = logged.add(Rotating(tmp_path / "log"))
    stream = handler.stream
    logged.logger.info("slow")
    assert entered.wait(30)

    def check() -> bool:
        logged.writer.abandon()
        return handler.stream is not stream

    assert in_child(check)
    goes_on.set()
    assert logged.writer.flush(30)
    handler.close()


def test_records_that_come_while_the_thread_rests_for_a_fork_are_kept(logged: Logged) -> None:
    logged.add_pipe()
    assert logged.writer._thread._thread.stop()
    logged.logger.info("meanwhile")
    logged.writer._thread._thread.start()
    assert logged.pipe.read("\n") == "meanwhile\n"


def test_thread_that_dies_leaves_logging_to_whoever_logs(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ValueError("a bug of ours")

    handler = logged.add_pipe()
    monkeypatch.setattr(logged.writer._thread, "_turn", broken)
    logged.logger.info("wakes it")
    said = logged.pipe.read("a bug of ours\n")
    assert "has died" in said
    assert handler.filters == []
    logged.logger.info("on")
    assert logged.pipe.read("\n") == "on\n"
