"""Explain the end of a process: put its exit code, its signal and its log into words."""

from __future__ import annotations

import re
import signal

__all__ = ["describe_exit", "describe_returncode", "error_in_log", "last_words", "why_ended"]

# gunicorn's own codes: gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR and APP_LOAD_ERROR.
_CODES = {
    1: "an uncaught error, or a setting that gunicorn refuses",
    3: "a worker failed to boot",
    4: "the application failed to load",
    255: "a worker's main loop raised",
}
LINE_CHARACTERS = 500
_ERROR_LINE = re.compile(r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Timeout|Warning))(?::.*)?$")
_LOGGED = re.compile(r"\[\d{4}-\d\d-\d\d ")
# What gunicorn says of every failure.
_CONSEQUENCES = ("Worker (pid:", "Retrying", "Exception in worker", "Shutting down: ")
_REFUSED = ("Invalid value for ", "Error: ")  # how gunicorn refuses a setting
_NO_PORT = re.compile(r"Connection in use: \(.*, 0\)$")  # a port that the system was to choose
_LOG_ERROR = re.compile(r"\[(?:ERROR|CRITICAL)\] (.*)$")


def describe_exit(code: int | None, signal_name: str | None, why: str = "") -> str:
    """Say how a worker ended: ``exit code 3 (a worker failed to boot)``, ``SIGKILL (…)``.

    :param why: the reason, where it is known, which is then said instead of what usually is the reason.
    """
    if why:
        return f"{signal_name or f'exit code {code}'}, because {why}"
    if signal_name is not None:
        return f"{signal_name} (out of memory?)" if signal_name == "SIGKILL" else signal_name
    if code is None:
        return "an unknown end"
    return _describe_code(code)


def describe_returncode(code: int) -> str:
    """Say what a return code means: ``exit code 3 (a worker failed to boot)``, ``SIGKILL``."""
    if code >= 0:
        return _describe_code(code)
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def why_ended(log: str, pid: int, timeout: object = None) -> str:
    """Return for what limit gunicorn has ended the worker *pid*, as the primary's *log* has it; empty for none.

    :param timeout: gunicorn's setting, where it is known.
    """
    if f"WORKER TIMEOUT (pid:{pid})" in log:
        limit = f"timeout of {timeout} s" if isinstance(timeout, int | float) else "timeout"
        return f"it gave no sign of life for gunicorn's {limit} (WORKER TIMEOUT)"
    if f"WORKER BOOT TIMEOUT (pid:{pid})" in log:
        return "it did not listen within the primary's boot_timeout (WORKER BOOT TIMEOUT)"
    return ""


def error_in_log(log: str) -> str:
    """Return the line of a log that says most about why something went wrong; empty when none does."""
    lines = log.splitlines()
    raised = [line.strip() for line in lines if _ERROR_LINE.match(line.strip())]
    if raised:
        return _cut(raised[-1])
    logged = [found[1] for line in lines if (found := _LOG_ERROR.search(line))]
    told = [line for line in logged if not line.startswith(_CONSEQUENCES)]
    if told and _NO_PORT.match(told[0]):
        return f"no free port: the system has none left to choose ({told[0]})"
    return _cut(told[0] if told else "; ".join(line.strip() for line in lines if line.startswith(_REFUSED)))


def last_words(log: str) -> str:
    """Return the line that says why a process did not come up: an error, or else what it printed last, past the log."""
    plain = [line.strip() for line in log.splitlines() if line.strip() and not _LOGGED.match(line)]
    raised = [line for line in plain if _ERROR_LINE.match(line)]
    return _cut((raised or plain or [""])[-1])


def _cut(line: str) -> str:
    """Return a line as a sentence can have it: an error may carry megabytes."""
    return line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}…"


def _describe_code(code: int) -> str:
    return f"exit code {code} ({_CODES[code]})" if code in _CODES else f"exit code {code}"
