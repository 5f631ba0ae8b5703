"""Carry out what operators ask of a running cluster: ``cluster VERB ARGUMENTS``, as text.

A table of verbs, each with a handler and a line of help.  A capability adds its own by :meth:`Orders.on`.  A handler is
called with its arguments, as strings, and with ``answer``, which it calls with a mapping, now or later.  What it
refuses it raises as :class:`~nodecluster_compat.errors.OrderRefused`, with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from ..errors import OrderRefused

__all__ = ["OrderAnswer", "OrderHandler", "Orders", "no_arguments", "number_of"]

OrderAnswer: TypeAlias = "Callable[[Mapping[str, Any] | OrderRefused], None]"
"""Takes what an order gives; or why it could not be carried out after all."""

OrderHandler: TypeAlias = "Callable[[Sequence[str], OrderAnswer], None]"


class _Order(Struct, frozen=True):
    usage: str
    help: str
    handler: OrderHandler


class Orders:
    """The orders of one server, by verb."""

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}
        self.on("help", "help", "Say what can be asked", self._help)

    def on(self, verb: str, usage: str, help: str, handler: OrderHandler) -> None:  # noqa: A002 - the word for it
        """Let ``handler`` carry out ``cluster VERB`` from now on.

        Args:
            verb: its first word.
            usage: the verb with its arguments, such as ``drain SLOT``.
            help: what it does, in a line.
            handler: carries it out.

        Raises:
            ValueError: another one does.
        """
        if verb in self._orders:
            raise ValueError(f"expected a new verb, got {verb!r}, which has a handler")
        self._orders[verb] = _Order(usage, help, handler)

    def carry_out(self, words: Sequence[str], answer: OrderAnswer) -> None:
        """Carry out an order.

        Args:
            words: the verb, and its arguments.
            answer: takes what it gives, now or later.

        Raises:
            OrderRefused: it cannot be done, or nobody knows how.
        """
        verb = words[0].lower() if words else "help"
        order = self._orders.get(verb)
        if order is None:
            raise OrderRefused(f"expected one of {', '.join(sorted(self._orders))}, got {verb!r}")
        order.handler(words[1:], answer)

    @property
    def helps(self) -> dict[str, str]:
        """What each order does, by its usage."""
        return {f"cluster {order.usage}": order.help for order in self._orders.values()}

    def _help(self, _: Sequence[str], answer: OrderAnswer) -> None:
        answer({"commands": self.helps})


def no_arguments(take: Callable[[], Mapping[str, Any]]) -> OrderHandler:
    """Return a handler that answers at once with what ``take`` returns."""

    def handler(arguments: Sequence[str], answer: OrderAnswer) -> None:
        if arguments:
            raise OrderRefused(f"expected no argument, got {' '.join(arguments)!r}")
        answer(take())

    return handler


def number_of(text: str, what: str, lowest: float, highest: float) -> float:
    """Return a number that somebody has written.

    Raises:
        OrderRefused: it is none, or out of its bounds.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        raise OrderRefused(f"expected {what} from {lowest:g} to {highest:g}, got {text!r}")
    return value
