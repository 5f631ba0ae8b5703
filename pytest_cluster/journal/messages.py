"""Read and expect the messages between primary and workers, as the primary saw them."""

from __future__ import annotations

from collections.abc import Mapping

from ..values import Message
from .entries import AnyWorker, JournalEntry, Wanted, worker_id
from .expectations import Expectation
from .journal import Journal

__all__ = ["Messages"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class Messages:
    """Every message of a cluster: ``cluster.messages.received``, ``.sent``, ``.expect(match=…)``."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def received(self) -> list[JournalEntry]:
        """What the primary received from workers, in order."""
        return [entry for entry in self._journal.entries if entry.event == "message" and not entry.sent]

    @property
    def sent(self) -> list[JournalEntry]:
        """What the primary sent to workers, in order."""
        return [entry for entry in self._journal.entries if entry.event == "message" and entry.sent]

    def expect(
        self,
        match: object = None,
        *,
        worker: int | AnyWorker | None = None,
        sent: bool | None = None,
        timeout: float | None = None,
        count: int = 1,
        exactly: int | None = None,
        none: bool = False,
    ) -> Expectation:
        """Expect messages that pass between primary and workers during a ``with`` block, or soon after it.

        :param match: a value to be equal to, a mapping whose items the message must have, or a function that says
            whether a message counts; ``None``: any message.
        :param worker: the worker at the other end, or its id.
        :param sent: true: from the primary to the worker; false: from the worker.
        :param timeout: as for :meth:`~pytest_cluster.Cluster.expect`.
        :param count: as for :meth:`~pytest_cluster.Cluster.expect`.
        :param exactly: as for :meth:`~pytest_cluster.Cluster.expect`.
        :param none: as for :meth:`~pytest_cluster.Cluster.expect`.
        :raises ValueError: something of that cannot be.
        """
        if not (sent is None or isinstance(sent, bool)):
            raise ValueError(f"expected sent= to be True, False or None, got {sent!r:.100}")

        def counts(entry: JournalEntry) -> bool:
            return sent in (None, entry.sent) and _matches(match, entry.message)

        wanted = Wanted("message", worker_id(worker), counts, _described(match, sent))
        return Expectation(self._journal, wanted, timeout=timeout, count=count, exactly=exactly, none=none)


def _described(match: object, sent: bool | None) -> str:
    way = {None: "between primary and workers", True: "from the primary", False: "to the primary"}[sent]
    return way if match is None else f"{way} like {getattr(match, '__name__', None) or repr(match)}"


def _matches(match: object, message: Message) -> bool:
    if match is None:
        return True
    if callable(match):
        return bool(match(message))
    if isinstance(match, Mapping) and isinstance(message, Mapping):
        return all(name in message and message[name] == value for name, value in match.items())
    return bool(match == message)
