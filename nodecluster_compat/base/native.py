"""Choose between the C extension and Python: once, for a process and those that it forks.

The extension ``nodecluster_compat._native`` is optional.  It has compiled twins of what runs for every request; the
Python ones are the reference, and are always there.  ``NODECLUSTER_NATIVE=0`` in the environment switches it off.

A module that has a twin asks :func:`in_force`, and takes a :class:`Choice` as an argument, so that tests run with both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

from .variables import NATIVE
from .version import __version__

__all__ = ["PYTHON", "Choice", "Native", "choose", "in_force", "sources_digest"]

_MODULE: Final = "nodecluster_compat._native"
_CHECKOUT: Final = Path(__file__).parents[2]


class Native(Protocol):
    """Declares what the extension offers.

    Attributes:
        VERSION: of the package that it was built with.
        SOURCES: tells the state of its sources.
        RequestStores: the twin of :mod:`~nodecluster_compat.operations.metrics.request_stores`.
        RequestSlots: the twin of what :mod:`~nodecluster_compat.operations.metrics.request_meter` does for connections.
        take_fields, take_line: the twins of those of :mod:`~nodecluster_compat._gunicorn.requests.clean_head`.
        PlainRequest, CleanHeads: of a request, and of what reads one, in
            :mod:`~nodecluster_compat._gunicorn.requests.clean_reader`.
        PlainAnswer, Answers: of a response, and of what all of them share, in
            :mod:`~nodecluster_compat._gunicorn.requests.responses`.
        HeldReader: the twin of that of :mod:`~nodecluster_compat._gunicorn.requests.body_reader`.
        ErrorsStream: the twin of that of :mod:`~nodecluster_compat._gunicorn.requests.caching`.
        CleanTurn, Turns: of a connection, and of what all of them share, in
            :mod:`~nodecluster_compat._gunicorn.requests.clean_connection`.
        RequestIds: the twin of what :mod:`~nodecluster_compat._gunicorn.requests.request_ids` makes.
        scan_fields, write_head: of the head of an answer, in
            :mod:`~nodecluster_compat._gunicorn.worker.asgi.answer_heads`.
        peek: the twin of that of :mod:`~nodecluster_compat.machine.peeking`.
        look: the twin of ``EngineIO.look`` in :mod:`~nodecluster_compat.routing.engineio`.
        ask_for_death_signal: in the place of ctypes in :mod:`~nodecluster_compat._gunicorn.arbiter.parent_death`.
        make_immortal: what :mod:`~nodecluster_compat.machine.immortal` asks for; Python has no twin.
        Dealings, Accepting: what the listeners of an engine share, and what accepts on one of them, in
            :mod:`~nodecluster_compat.connections.dealt_in_c`.
        Taking: the twin of ``TakingEnd.read`` in :mod:`~nodecluster_compat.connections.taking_end`.
        Feeding: the twin of what :mod:`~nodecluster_compat._gunicorn.worker.fed_source` does with most connections.
        Greenlets: the twin of that of :mod:`~nodecluster_compat.gevent_runtime.greenlet_pool`.
        DealingTurns: the twin of what turns in :mod:`~nodecluster_compat.connections.dealing_loop`.
        Standby: deals while the dealer waits for the interpreter's lock, for
            :mod:`~nodecluster_compat.connections.standby`.
        client_key: of a host, as in :mod:`~nodecluster_compat.connections.policies.client_address`.
        SharedNumber: a number that a worker counts, for :mod:`~nodecluster_compat.machine.shared_number`.
        Guarded: the twin of ``run_guarded`` in :mod:`~nodecluster_compat.base.handler_calls`, for one handler.
        Reading, Post: what reads a channel, and what sends a message, in :mod:`~nodecluster_compat.messages.reader`
            and :mod:`~nodecluster_compat.messages.writer`.
        topics_of, bodies_of: the twins of those of :mod:`~nodecluster_compat.sharing.publications`.
        needs_no_escape, insert_string, extract_string: of a long string, for
            :mod:`~nodecluster_compat.messages.json_strings`.
        Delivery: the twin of ``Deliveries.received`` in :mod:`~nodecluster_compat.roles.deliveries`, for one worker.
        Inbox: the twin of that of :mod:`~nodecluster_compat.roles.inbox`.
    """

    VERSION: str
    SOURCES: str
    RequestStores: Callable[..., Any]
    RequestSlots: Callable[..., Any]
    take_fields: Callable[..., int]
    take_line: Callable[..., bool]
    PlainRequest: type[Any]
    CleanHeads: Callable[..., Any]
    PlainAnswer: type[Any]
    Answers: Callable[..., Any]
    HeldReader: Callable[[bytes], Any]
    ErrorsStream: Callable[..., Any]
    CleanTurn: type[Any]
    Turns: Callable[..., Any]
    RequestIds: Callable[..., Any]
    scan_fields: Callable[[Any], tuple[bool, Any, bool] | None]
    write_head: Callable[..., bytes | None]
    peek: Callable[[int, int], bytes | None]
    look: Callable[[bytes], int]
    ask_for_death_signal: Callable[[int], None]
    make_immortal: Callable[[object], bool]
    Dealings: Callable[..., Any]
    Accepting: Callable[..., Any]
    DealingTurns: Callable[..., Any]
    Guarded: Callable[..., Any]
    Reading: Callable[..., Any]
    Post: Callable[..., Any]
    topics_of: Callable[[bytes], Any]
    bodies_of: Callable[[bytes], Any]
    Delivery: Callable[..., Any]
    Inbox: Callable[..., Any]
    Taking: Callable[..., Any]
    Feeding: Callable[..., Any]
    Greenlets: Callable[..., Any]
    Standby: Callable[..., Any]
    client_key: Callable[[str, int, int], int | None]
    needs_no_escape: Callable[[str], bool]
    insert_string: Callable[[bytes, str, str], bytes | None]
    extract_string: Callable[[bytes | bytearray, str], tuple[bytes, str] | None]
    SharedNumber: Callable[[int, int], Any]


class Choice(NamedTuple):
    """The choice between C and Python.

    Attributes:
        module: the extension; ``None``: Python alone.
        why_not: why it does not serve, in a few words; empty where it does.
    """

    module: Native | None
    why_not: str = ""

    def __str__(self) -> str:
        """Say it as it is logged."""
        return "with its C extension" if self.module is not None else f"in Python alone ({self.why_not})"


PYTHON: Final = Choice(None, "chosen by the program")
"""Python alone, whatever is installed."""


def _load() -> Native:
    return cast("Native", import_module(_MODULE))


def choose(
    variables: Mapping[str, str] = os.environ,
    load: Callable[[], Native] = _load,
    abi: str = sys.abiflags,
    checkout: Path = _CHECKOUT,
) -> Choice:
    """Return what may serve here.

    Args:
        variables: the environment.
        load: returns the extension.
        abi: that of this Python; ``t`` is free-threaded.
        checkout: where the sources are, if this is one: an extension built from others is refused.
    """
    wish = variables.get(NATIVE, "")
    if wish == "0":
        return Choice(None, f"{NATIVE}=0")
    if wish not in ("", "1"):
        return Choice(None, f"{NATIVE} is expected to be 0 or 1, and is {wish!r}")
    if "t" in abi:
        return Choice(None, "a free-threaded Python has no use for the C extension")
    try:
        module = load()
    except ModuleNotFoundError:
        return Choice(None, "the C extension is not built")
    except Exception as error:  # noqa: BLE001 - whatever a file does that was built for something else
        return Choice(None, f"the C extension does not load: {' '.join(str(error).split())}")
    other = _other_build(module, checkout / "native")
    return Choice(None, other) if other else Choice(module)


def _other_build(module: Native, sources: Path) -> str:
    """Return of what else the extension was built, in words; empty: of the sources of this version."""
    built_for = getattr(module, "VERSION", "unknown")
    if built_for != __version__:
        return f"the C extension is of version {built_for}, this is {__version__}"
    if (sources / "building.py").is_file() and getattr(module, "SOURCES", "") != sources_digest(sources):
        return "the C extension was built from other sources than those in native/: pip install -e ."
    return ""


def sources_digest(folder: Path) -> str:
    """Return what tells one state of the extension's sources from another."""
    from hashlib import sha256

    digest = sha256()
    for path in sorted(folder.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@cache
def in_force() -> Choice:
    """Return what serves in this process."""
    return choose()
