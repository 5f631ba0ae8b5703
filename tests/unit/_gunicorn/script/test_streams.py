"""The numbers that a worker's streams will take."""

from __future__ import annotations

import os

from own_descriptors import own_descriptors

from nodecluster_compat._gunicorn.script.streams import occupied


def test_numbers_are_occupied_meanwhile() -> None:
    """Those that are free: what is opened meanwhile gets others, and afterwards they are free again."""
    open_before = set(own_descriptors())
    with occupied(["pipe"] * 64):
        assert set(range(64)) <= set(own_descriptors())
        other = os.open(os.devnull, os.O_RDONLY)
        os.close(other)
        assert other >= 64
    assert set(own_descriptors()) == open_before


def test_what_is_open_is_left_alone() -> None:
    """Whatever has such a number keeps it."""
    with open(os.devnull, "rb") as file:
        before = os.fstat(file.fileno())
        with occupied(["pipe"] * (file.fileno() + 1)):
            assert os.fstat(file.fileno()) == before
        assert file.read() == b""
