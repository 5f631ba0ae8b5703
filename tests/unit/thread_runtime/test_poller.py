"""What is watched by its number, although an application may close it and the kernel give the number away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from nodecluster_compat.thread_runtime.poller import Poller


class Rig:
    def __init__(self) -> None:
        self.poller = Poller()
        self.heard: list[str] = []
        self.near, self.far = socket.socketpair()
        self.far.sendall(b"something to read")

    def note(self, what: str) -> None:
        self.heard.append(what)

    def heard_in_a_turn(self) -> list[str]:
        self.heard.clear()
        self.poller.turn(0)
        return self.heard

    def reuse_number(self) -> int:
        """Close what is watched, as an application does; return its number, which is another descriptor's now."""
        fd = self.near.fileno()
        near, far = socket.socketpair()
        self.near.close()
        os.dup2(near.fileno(), fd)
        near.close()
        self.far.close()
        self.near, self.far = socket.socket(fileno=fd), far
        self.far.sendall(b"something to read")
        return fd


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.poller.close()
    made.near.close()
    made.far.close()


def test_number_is_watched_for_whoever_has_it_now(rig: Rig) -> None:
    rig.poller.add_reader(rig.near.fileno(), lambda: rig.note("closed"))
    fd = rig.reuse_number()
    assert rig.heard_in_a_turn() == []
    rig.poller.add_reader(fd, lambda: rig.note("present"))
    assert rig.heard_in_a_turn() == ["present"]


def test_nothing_is_left_of_the_other_direction(rig: Rig) -> None:
    rig.poller.add_writer(rig.near.fileno(), lambda: rig.note("closed, writable"))
    fd = rig.reuse_number()
    rig.poller.add_reader(fd, lambda: rig.note("present"))
    assert rig.heard_in_a_turn() == ["present"]


def test_who_was_closed_takes_nothing_from_its_successor(rig: Rig) -> None:
    """It is removed late, by its number and by what was to be called."""
    fd = rig.near.fileno()

    def former() -> None:
        rig.note("closed")

    rig.poller.add_reader(fd, former)
    rig.reuse_number()
    rig.poller.add_reader(fd, lambda: rig.note("present"))
    rig.poller.remove_reader(fd, former)
    assert rig.heard_in_a_turn() == ["present"]


@pytest.mark.parametrize("is_reused", [False, True], ids=["closed", "another's"])
def test_what_was_closed_is_removed(rig: Rig, is_reused: bool) -> None:
    fd = rig.near.fileno()
    rig.poller.add_reader(fd, lambda: rig.note("closed"))
    rig.poller.add_writer(fd, lambda: rig.note("closed, writable"))
    if is_reused:
        rig.reuse_number()
    else:
        rig.near.close()
    rig.poller.remove_reader(fd)
    rig.poller.remove_writer(fd)
    assert rig.heard_in_a_turn() == []


def test_both_directions(rig: Rig) -> None:
    fd = rig.near.fileno()
    rig.poller.add_reader(fd, lambda: rig.note("readable"))
    rig.poller.add_writer(fd, lambda: rig.note("writable"))
    assert rig.heard_in_a_turn() == ["readable", "writable"]
    rig.poller.remove_reader(fd)
    assert rig.heard_in_a_turn() == ["writable"]
    rig.poller.remove_writer(fd)
    rig.poller.remove_writer(fd)
    assert rig.heard_in_a_turn() == []


def test_what_cannot_be_watched_is_not(rig: Rig) -> None:
    """Nor is anything noted of it, for whoever has the number next."""
    fd = rig.near.fileno()
    rig.near.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        rig.poller.add_reader(fd, lambda: None)
    with pytest.raises(ValueError, match="negative"):
        rig.poller.add_reader(rig.near.fileno(), lambda: None)
    rig.near = socket.socket()
    rig.poller.add_reader(rig.near.fileno(), lambda: rig.note("present"))
    rig.near.listen()
    assert rig.heard_in_a_turn() in ([], ["present"])
