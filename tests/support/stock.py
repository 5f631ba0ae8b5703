"""Compare our worker's answers with those of ``-k gevent``, as they are recorded for the installed gunicorn.

Where there is no recording for that version the stock worker is asked there and then.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import gunicorn
from raw_http import normalised, send
from recordings import Recording, told

from pytest_cluster import Cluster

__all__ = ["Answers", "Comparison", "is_refusal", "stock_recording"]

_FOLDER: Final = Path(__file__).parents[1] / "integration" / "recordings"
# What the parser in C says of garbage is not what the one in Python says.
_INSTALLED: Final = f"gunicorn-{gunicorn.__version__}{'-h1c' if find_spec('gunicorn_h1c') else ''}"
_ALIKE: Final = 3
_IS_OLD: Final = gunicorn.version_info < (27,)

Answers = dict[str, list[str]]
Corpus = Mapping[str, bytes]


def stock_recording(corpus: str) -> Recording:
    """Return what the stock worker of the installed gunicorn is recorded to have said to a corpus."""
    return Recording(_FOLDER / corpus / f"{_INSTALLED}.json")


@dataclass(frozen=True)
class Comparison:
    """Ours beside the stock worker, which answers a corpus of requests under the settings of a case.

    What a parser says of garbage depends on how much had arrived when it looked, and a server that closes while
    bytes are under way resets the connection: both are the kernel's timing, so there may be several answers, and a
    server is asked up to ``rounds`` times for one that the other has given.
    """

    recording: Recording
    pieces: Mapping[str, Callable[[bytes], int]] = field(default_factory=lambda: {"": lambda _: 1})
    """How requests are sent, by name: in how many pieces; the first, in one, has no name."""
    rounds: int = 20
    silence: float = 0.0
    """See ``exchange``."""

    def expected(self, case: str, corpus: Corpus, start_stock: Callable[[], Cluster]) -> Answers:
        """Return what the stock worker says."""
        if case in self.recording:
            return dict(self.recording[case])
        with start_stock() as stock:
            return self._ask(stock, corpus)

    def differences(self, server: Cluster, corpus: Corpus, expected: Answers) -> dict[str, tuple[list[str], list[str]]]:
        """Return what a server, and the stock worker, said where they never said the same.

        With an older gunicorn ours may refuse more: what the newest one refuses (:mod:`refused` has such requests).
        """
        differing = {}
        for name, request, pieces in self._requests(corpus):
            stock = expected[name if name in expected else name.partition(", in ")[0]]
            said = self._said(server, request, pieces, lambda all_said, stock=stock: bool(all_said & set(stock)))
            alike = set(said) & set(stock) or (pieces > 1 and _is_cut_off(said, stock))
            if not alike and not (_IS_OLD and _is_stricter(name, said)):
                differing[name] = (said, stock)
        return differing

    def verify(self, case: str, corpus: Corpus, stock: Cluster, anew: bool) -> None:
        """Compare the recording, if this version has one, with what the stock worker says now; or write it."""
        if anew:
            self.recording.write(case, self._ask(stock, corpus))
        assert case not in self.recording or self.differences(stock, corpus, self.recording[case]) == {}

    def recorded(self, name: str, ask: Callable[[], list[str]]) -> list[str]:
        """Return what is recorded by a name, or else the answer."""
        return list(self.recording[name]) if name in self.recording else ask()

    def verify_as_whole(self, name: str, said: list[str], anew: bool) -> None:
        """As :meth:`verify`, for what :meth:`recorded` returns."""
        if anew:
            self.recording.write(name, said)
        assert name not in self.recording or said == self.recording[name]

    def _ask(self, stock: Cluster, corpus: Corpus) -> Answers:
        """Return the answers; those to pieces are left out where the whole is answered alike."""
        answers: Answers = {}
        for name, request, pieces in self._requests(corpus):
            turns = itertools.count(1)
            said = self._said(
                stock, request, pieces, lambda all_said, turns=turns: next(turns) >= _ALIKE and len(all_said) == 1
            )
            if answers.get(name.partition(", in ")[0]) != said:
                answers[name] = said
        return answers

    def _requests(self, corpus: Corpus) -> list[tuple[str, bytes, int]]:
        return [
            (f"{name}, in {way}" if way else name, request, pieces(request))
            for name, request in corpus.items()
            for way, pieces in self.pieces.items()
        ]

    def _said(self, server: Cluster, request: bytes, pieces: int, enough: Callable[[set[str]], bool]) -> list[str]:
        said: set[str] = set()
        for _ in range(self.rounds):
            said.add(told(normalised(send(server, request, pieces, self.silence))))
            if enough(said):
                break
        return sorted(said)


def _is_cut_off(said: list[str], stock: list[str]) -> bool:
    """Whether nothing was heard where the stock worker refuses: on a busy machine a reset overtakes it each time."""
    return said == [""] and all(map(is_refusal, stock))


def is_refusal(answer: str) -> bool:
    """Whether an answer, or none, is a refusal and nothing more: nothing behind the request was served."""
    return not answer or (answer.startswith(("HTTP/1.1 4", "HTTP/1.1 5")) and answer.count("HTTP/1.1 ") == 1)


def _is_stricter(name: str, ours: list[str]) -> bool:
    """Whether what differs is that ours refused, or closed behind a CONNECT."""
    is_tunnel = "authority form" in name
    return all(is_refusal(answer) or (is_tunnel and answer.count("HTTP/1.1 ") == 1) for answer in ours)
