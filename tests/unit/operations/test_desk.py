"""The desk: a table of verbs with a door."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.errors import NotInCluster
from nodecluster_compat.operations.desk import Desk


def desk_of(cluster: Any = None, scaled: list[int] | None = None) -> Desk:
    return Desk(cluster, None if scaled is None else scaled.append, 15)


def test_registered_verb_is_carried_out_with_its_arguments() -> None:
    """A capability brings its own verbs, and edits no file for that."""
    desk = desk_of()
    desk.on("add", lambda one, other: one + other)
    assert desk.perform("add", 1, 2) == 3


def test_verb_has_one_handler() -> None:
    """Two capabilities that choose one word find out at start."""
    with pytest.raises(ValueError, match="'status'"):
        desk_of().on("status", lambda: None)


def test_unknown_verb_is_answered_with_those_that_are_known() -> None:
    """Whoever asks is not in this process: the sentence has to say it all."""
    with pytest.raises(LookupError, match=r"expected one of send, .*status.*, got 'dance'"):
        desk_of().perform("dance")


def test_scaling_is_the_servers() -> None:
    """In script mode nobody keeps a number."""
    scaled: list[int] = []
    desk_of(scaled=scaled).perform("scale", 3)
    assert scaled == [3]
    with pytest.raises(NotInCluster, match="script mode"):
        desk_of().perform("scale", 3)


def test_worker_that_is_gone_is_named() -> None:
    """Between a question and its answer a worker may end."""
    sent: list[str] = []
    workers = {1: SimpleNamespace(send=lambda message: not sent.append(message))}
    desk = desk_of(SimpleNamespace(workers=workers))
    assert desk.perform("send", 1, "hello") is True
    assert sent == ["hello"]
    with pytest.raises(NotInCluster, match="no worker 2"):
        desk.perform("send", 2, "hello")
