"""Know what a person looks at and has pressed: the state of ``top``, and a table of what each key does.  Pure.

workers ──t, f, e──▶ text ──escape, q──▶ workers
   │────?──────────▶ help ──any key───▶ workers
   └────r──────────▶ question ──y: restart, any other: not──▶ workers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..tables import exits_text, requests_text, stacks_text
from .cells import harmless
from .columns import COLUMNS, sorted_workers
from .rates import NO_RATES, Rates

__all__ = ["Ask", "Session", "View"]

View: TypeAlias = Literal["workers", "text", "help", "question"]
Worker: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """What the server is to be asked.

    Attributes:
        words: the command and its arguments.
        title: of what it gives, for people.
        tell: makes text of that; ``None`` where it is done when it was said.
    """

    words: tuple[str, ...]
    title: str
    tell: Callable[[Mapping[str, Any]], str] | None = None


class Session:
    """What is shown, and what is done with it.

    Attributes:
        status: the last one; ``None`` before the first.
        rates: what the server does.
        trouble: why the status is an old one; ``None`` while it is not.
        notice: what the last key came to.
        view: what is looked at.
        column: by which the workers are sorted.
        falls: whether the largest come first.
        selected: the id of a worker.
        is_paused: whether what is shown stays.
        title, lines: of the text.
        scroll: how many of its lines are above the first one shown.
        is_over: whether to end.
    """

    def __init__(self) -> None:
        self.status: Mapping[str, Any] | None = None
        self.rates = NO_RATES
        self.trouble: str | None = None
        self.notice = ""
        self.view: View = "workers"
        self.column = 0
        self.falls = False
        self.selected: int | None = None
        self.is_paused = False
        self.title, self.lines = "", list[str]()
        self.scroll = 0
        self.is_over = False
        self._again: Callable[[], Ask | None] | None = None
        self._asked: Ask | None = None
        self._chosen: Worker | None = None  # of the question, whichever is selected when it is answered

    # --- what the server says --------------------------------------------------------------------

    def update(self, status: Mapping[str, Any], rates: Rates) -> None:
        """Take a new status."""
        self.trouble = None
        if not self.is_paused:
            self.status, self.rates = status, rates
            ids = [one["id"] for one in self.workers]
            if self.selected not in ids:
                self.selected = ids[0] if ids else None

    def lost(self, trouble: str) -> None:
        """The server does not answer."""
        self.trouble = harmless(trouble)

    def answered(self, ask: Ask, data: Mapping[str, Any]) -> None:
        """The server has done what it was asked."""
        if ask.tell is None:
            self.notice = f"{ask.title}: begun"
        elif ask is self._asked:
            self._show(ask.title, ask.tell(data))

    def refused(self, ask: Ask, reason: str) -> None:
        """The server has not."""
        if ask.tell is None:
            self.notice = f"{ask.title}: {harmless(reason)}"
        elif ask is self._asked:
            self._show(ask.title, reason)

    # --- what is shown -------------------------------------------------------------------------------

    @property
    def workers(self) -> list[Worker]:
        """The workers, as they are sorted."""
        if self.status is None:
            return []
        return sorted_workers(self.status["workers"], self.rates, COLUMNS[self.column], falls=self.falls)

    @property
    def worker(self) -> Worker | None:
        """The one that is selected, if it still is there."""
        return next((one for one in self.workers if one["id"] == self.selected), None)

    @property
    def question(self) -> str:
        """What is asked before something is done."""
        return f"Restart {_named(self._chosen)}? A successor comes first. y: yes, other keys: no"

    def press(self, key: str, page: int = 10) -> Ask | None:
        """Do what a key does.

        Args:
            key: as ``Keys`` names it.
            page: how many lines are shown.

        Returns:
            What the server is to be asked.
        """
        self.notice = ""
        move = _MOVES.get(key)
        if move is not None and self.view in ("workers", "text"):
            self._move(move(page))
            return None
        table = _KEYS[self.view]
        handler = table.get(key) or table.get("")
        return None if handler is None else handler(self)

    # --- what keys do --------------------------------------------------------------------------------

    def _move(self, lines: int) -> None:
        if self.view == "text":
            self.scroll = max(0, min(self.scroll + lines, len(self.lines) - 1))
            return
        ids = [one["id"] for one in self.workers]
        if ids:
            place = ids.index(self.selected) if self.selected in ids else 0
            self.selected = ids[max(0, min(place + lines, len(ids) - 1))]

    def _quit(self) -> None:
        self.is_over = True

    def _back(self) -> None:
        self.view, self._asked = "workers", None

    def _help(self) -> None:
        self.view = "help"

    def _sort_left(self) -> None:
        self.column = (self.column - 1) % len(COLUMNS)

    def _sort_right(self) -> None:
        self.column = (self.column + 1) % len(COLUMNS)

    def _reverse(self) -> None:
        self.falls = not self.falls

    def _pause(self) -> None:
        self.is_paused = not self.is_paused

    def _stacks(self) -> Ask | None:
        if self.worker is None:
            self.notice = "no worker is selected"
            return None
        words = ("cluster stacks", f"id:{self.worker['id']}")
        title = f"What {_named(self.worker)} is doing"
        return self._ask_for(Ask(words, title, lambda data: stacks_text(data["workers"])))

    def _requests(self) -> Ask:
        title = "Requests in flight, oldest first"
        return self._ask_for(Ask(("cluster requests",), title, lambda data: requests_text(data["requests"])))

    def _exits(self) -> None:
        self._again = self._exits
        self._show("How the last workers ended", "" if self.status is None else exits_text(self.status["exits"]))

    def _ask_for(self, ask: Ask) -> Ask:
        self._again = lambda: self._ask_for(ask)
        self._show(ask.title, "asking ...")
        self._asked = ask
        return ask

    def _show(self, title: str, text: str) -> None:
        is_new = self.title != title or self.view != "text"
        self.view, self.title = "text", title
        self.lines = [harmless(line.expandtabs()) for line in text.split("\n")]
        self.scroll = 0 if is_new else min(self.scroll, len(self.lines) - 1)

    def _ask_again(self) -> Ask | None:
        return None if self._again is None else self._again()

    def _ask_first(self) -> None:
        if self.worker is None:
            self.notice = "no worker is selected"
        else:
            self.view, self._chosen = "question", self.worker

    def _restart(self) -> Ask | None:
        self.view, worker = "workers", self._chosen
        if worker is None or worker["id"] not in [one["id"] for one in self.workers]:
            self.notice = "it has ended meanwhile"
            return None
        ask = Ask(("cluster restart", f"id:{worker['id']}"), f"restart of {_named(worker)}")
        self.notice = f"{ask.title}: asked for"
        return ask

    def _let_be(self) -> None:
        self.view = "workers"
        self.notice = "nothing was restarted"


def _named(worker: Worker | None) -> str:
    return "no worker" if worker is None else f"worker {worker['slot']} (pid {worker['pid']})"


_ALL: Final = 1_000_000
_MOVES: Final[Mapping[str, Callable[[int], int]]] = {
    "up": lambda _: -1, "k": lambda _: -1, "down": lambda _: 1, "j": lambda _: 1,
    "page up": lambda page: -page, "page down": lambda page: page, "home": lambda _: -_ALL, "end": lambda _: _ALL,
}  # fmt: skip

_Handler: TypeAlias = Callable[[Session], "Ask | None"]
_KEYS: Final[Mapping[View, Mapping[str, _Handler]]] = {
    "workers": {
        "q": Session._quit, "?": Session._help, "h": Session._help, "<": Session._sort_left, ">": Session._sort_right,
        "left": Session._sort_left, "right": Session._sort_right, "s": Session._sort_right, "S": Session._reverse,
        "t": Session._stacks, "enter": Session._stacks, "f": Session._requests, "e": Session._exits,
        "r": Session._ask_first, "space": Session._pause,
    },
    "text": {"q": Session._back, "escape": Session._back, "back": Session._back, "left": Session._back,
             "u": Session._ask_again},
    "help": {"": Session._back},
    "question": {"y": Session._restart, "": Session._let_be},
}  # fmt: skip
"""What each key does, by what is looked at; an empty key stands for any other."""
