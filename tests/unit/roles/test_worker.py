"""``cluster.Worker`` made by hand: a record, as in Node."""

from __future__ import annotations

import pytest

from nodecluster_compat.roles.worker import Worker


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (None, 0),
        ("7", 7),
        (3.9, 3),
        (2**33 + 5, 5),
        (2**31, -(2**31)),
        (-(2**31) - 1, 2**31 - 1),
        (-(2**32) - 7, -7),
        (1e20, 1661992960),
        ("no number", 0),
        (float("inf"), 0),
        ([], 0),
    ],
)
def test_id_is_made_a_32_bit_integer(given: object, number: int) -> None:
    """As JavaScript's ``|0`` does."""
    assert Worker({"id": given}).id == number
