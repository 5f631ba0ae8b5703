"""Who serves, as every worker reads it."""

from __future__ import annotations

from nodecluster_compat.machine.members_table import MOST_SLOTS, MembersTable


def test_workers_read_what_the_primary_has_written() -> None:
    table = MembersTable()
    read = table.reader()
    assert read() == {}
    table.serves(2, 12)
    table.serves(5, 15)
    assert read() == table.ids == {2: 12, 5: 15}
    table.left(2, 99)
    table.serves(5, 25)
    table.left(5, 15)  # another has its slot
    assert read() == {2: 12, 5: 25}
    table.left(2, 12)
    table.close()
    assert read() == {5: 25}


def test_slots_that_are_none_are_ignored() -> None:
    table = MembersTable()
    for slot in (0, -1, MOST_SLOTS + 1):
        table.serves(slot, 7)
    table.serves(MOST_SLOTS, 8)
    assert table.reader()() == {MOST_SLOTS: 8}
    table.close()
