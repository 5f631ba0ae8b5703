"""The folder of a cluster: whose it is, when it goes, what two primaries hold one after the other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodecluster_compat.errors import StoreUnavailable
from nodecluster_compat.machine import state_folder
from nodecluster_compat.machine.state_folder import StateFolder


def test_nothing_is_made_before_it_is_needed(folder: StateFolder, home: Path) -> None:
    """Then it is this user's alone, and leaving removes it."""
    folder.hold_if_made()
    assert list(home.iterdir()) == []
    folder.hold()
    assert os.stat(folder.path).st_mode & 0o777 == 0o700
    folder.leave()
    assert list(home.iterdir()) == []


def test_a_folder_that_vanishes_hides_no_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server removes them at the same time."""
    abandoned, mine = (StateFolder(f"{home}/{state_folder._prefix()}{name}") for name in "bc")
    abandoned.make()
    os.utime(abandoned.path, (1, 1))
    gone = f"{state_folder._prefix()}a"
    listed = [gone, os.path.basename(abandoned.path)]
    monkeypatch.setattr(os, "listdir", lambda _: listed)
    mine.hold()
    assert not os.path.exists(abandoned.path)
    mine.leave()


def test_somebody_elses_folder_is_refused(home: Path) -> None:
    """One that others may enter, a link, a place where nothing can be made."""
    (home / "open").mkdir(mode=0o777)
    os.chmod(home / "open", 0o777)
    (home / "link").symlink_to(home / "open")
    for name in ("open", "link", "nowhere/at/all"):
        with pytest.raises(StoreUnavailable, match="expected"):
            StateFolder(str(home / name)).hold()


def test_folder_of_a_primary_of_root_s_is_its_workers_from_the_first_moment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that looks for it at any moment finds none, or one of its own."""
    workers = os.geteuid(), os.getegid()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    folder = StateFolder(user=workers)
    given: list[bool] = []

    def chown(path: str, *whose: int, follow_symlinks: bool) -> None:
        assert whose == workers
        given.append(os.path.exists(folder.path))

    monkeypatch.setattr(os, "chown", chown)
    assert folder.make() == folder.path
    assert folder.make() == folder.path
    assert given == [False]
    assert [one.name for one in home.iterdir()] == [os.path.basename(folder.path)]
