"""What an exit code, a signal and a log say about the end of a process, in words."""

from __future__ import annotations

import re
import signal

__all__ = ["describe_exit", "describe_returncode", "error_in_log", "last_words"]

# gunicorn's own codes: gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR and APP_LOAD_ERROR.
_CODES = {
    1: "an uncaught error, or a setting that gunicorn refuses",
    3: "a worker failed to boot",
    4: "the application failed to load",
    255: "a worker's main loop raised",
}
_ERROR_LINE = re.compile(r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Timeout|Warning))(?::.*)?$")
_LOGGED = re.compile(r"\[\d{4}-\d\d-\d\d ")
# What gunicorn says of every failure.
_CONSEQUENCES = ("Worker (pid:", "Retrying", "Exception in worker", "Shutting down: ")
_LOG_ERROR = re.compile(r"\[(?:ERROR|CRITICAL)\] (.*)$")


def describe_exit(code: int | None, signal_name: str | None) -> str:
    """Say how a worker ended: ``exit code 3 (a worker failed to boot)``, ``SIGKILL (…)``."""
    if signal_name is not None:
        return f"{signal_name} (out of memory?)" if signal_name == "SIGKILL" else signal_name
    if code is None:
        return "an unknown end"
    return f"exit code {code} ({_CODES[code]})" if code in _CODES else f"exit code {code}"


def describe_returncode(code: int) -> str:
    """Say what a return code means: ``exit code 3``, ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def error_in_log(log: str) -> str:
    """Return the line of a log that says most about why something went wrong; empty when none does."""
    lines = log.splitlines()
    raised = [line.strip() for line in lines if _ERROR_LINE.match(line.strip())]
    if raised:
        return raised[-1]
    logged = [found[1] for line in lines if (found := _LOG_ERROR.search(line))]
    told = [line for line in logged if not line.startswith(_CONSEQUENCES)]
    return told[0] if told else ""


def last_words(log: str) -> str:
    """Return the line that says why a process did not come up: an error, or else what it printed last, past the log."""
    plain = [line.strip() for line in log.splitlines() if line.strip() and not _LOGGED.match(line)]
    raised = [line for line in plain if _ERROR_LINE.match(line)]
    return (raised or plain or [""])[-1]
