"""Run ``nodeclusterctl top``: join the terminal, the server and the session."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from typing import Final

from ..client import ControlClient, Refused
from .rates import History
from .screen import frame, page_of, printed
from .session import Session
from .status_feed import Lost, StatusFeed, Told
from .terminal import Terminal

__all__ = ["top"]

_TURN_SECONDS: Final = 60.0  # nothing depends on it: keys, answers and sizes wake
_INTERRUPTED: Final = 130


def top(server: ControlClient, options: Namespace) -> int:
    """Show the server until somebody quits; or once, as text or as JSON.

    Raises:
        NoTerminal: there is none, and what is shown is to be shown live.
    """
    if options.once or options.json:
        return _once(server, options)
    terminal = Terminal()
    session, history = Session(), History()
    first = server.ask("cluster status")
    session.update(first, history.add(first))
    with terminal:
        feed = StatusFeed(server, options.interval, terminal.wake)
        feed.start()
        _show(terminal, feed, session, history)
    return _end(terminal)


def _show(terminal: Terminal, feed: StatusFeed, session: Session, history: History) -> None:
    while not session.is_over and terminal.ended_by is None and not terminal.is_gone:
        width, height = terminal.size
        terminal.draw(frame(session, width, height))
        for key in terminal.hear(_TURN_SECONDS):
            ask = session.press(key, page_of(height))
            if ask is not None and not feed.ask(ask):
                session.refused(ask, "the server has not answered what it was asked before")
        for told in feed.news():
            _take(told, session, history)


def _take(told: Told, session: Session, history: History) -> None:
    if isinstance(told, Lost):
        session.lost(told)
    elif isinstance(told, dict):
        session.update(told, history.add(told))
    else:
        ask, said = told
        if isinstance(said, Refused):
            session.refused(ask, str(said))
        else:
            session.answered(ask, said)


def _end(terminal: Terminal) -> int:
    """Return the exit status; or end by the signal that somebody has sent, with the terminal as it was."""
    if terminal.ended_by is None:
        return 0
    if terminal.ended_by == signal.SIGINT:
        return _INTERRUPTED
    signal.signal(terminal.ended_by, signal.SIG_DFL)
    os.kill(os.getpid(), terminal.ended_by)
    return 128 + terminal.ended_by


def _once(server: ControlClient, options: Namespace) -> int:
    session, history = Session(), History()
    first = server.ask("cluster status")
    history.add(first)
    time.sleep(options.interval)
    status = server.ask("cluster status")
    session.update(status, history.add(status))
    if options.json:
        text = json.dumps({"status": status, "rates": asdict(session.rates)})
    else:
        text = printed(session, shutil.get_terminal_size().columns if os.isatty(1) else 200)
    sys.stdout.write(f"{text}\n")
    return 0
