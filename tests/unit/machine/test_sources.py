"""Which files an application is made of, and whether they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodecluster_compat.machine import sources
from nodecluster_compat.machine.sources import fingerprint, sources_of


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_folder_of_the_application_is_found_by_its_first_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a module or a package of that name is; installed packages by themselves; nothing is imported."""
    home, other, library = tmp_path / "home", tmp_path / "other", tmp_path / "site-packages"
    write(home / "shop" / "__init__.py", "raise ImportError")
    write(other / "thing.py")
    write(library / "shop" / "__init__.py")
    monkeypatch.setattr("sys.path", [str(home), str(other), str(library)])
    found = sources_of("shop.web:app", str(tmp_path / "cwd"), ["extra.toml"])
    assert found == tuple(
        sorted(map(str, [home, library, library / "shop", tmp_path / "cwd", Path("extra.toml").absolute()]))
    )
    assert str(other) in sources_of("thing:app", "/", [])
    assert sources_of("", "/", []) == tuple(sorted(["/", str(library)]))


def test_change_of_a_python_file_shows_and_what_workers_write_does_not(tmp_path: Path) -> None:
    """New, changed and removed sources; not caches, data, hidden folders and virtual environments."""
    module = write(tmp_path / "deep" / "er" / "module.py", "1")
    seen = [fingerprint([str(tmp_path)])]
    for name in ("__pycache__/m.py", ".git/m.py", "node_modules/m.py", "data.db", "deep/state.json"):
        write(tmp_path / name)
    write(tmp_path / "env" / "pyvenv.cfg")
    write(tmp_path / "env" / "lib" / "m.py")
    assert fingerprint([str(tmp_path)]) == seen[0]
    write(tmp_path / "new.py")
    seen.append(fingerprint([str(tmp_path)]))
    write(module, "22")
    seen.append(fingerprint([str(tmp_path)]))
    os.utime(module, (1, 1))
    seen.append(fingerprint([str(tmp_path)]))
    module.unlink()
    seen.append(fingerprint([str(tmp_path)]))
    assert len(set(seen)) == len(seen)


def test_file_that_is_named_counts_whatever_it_is(tmp_path: Path) -> None:
    """Its coming is a change, too."""
    path = tmp_path / "settings.toml"
    before = fingerprint([str(path)])
    write(path)
    assert fingerprint([str(path)]) != before


def test_large_trees_are_not_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest files come first, whatever is beside them."""
    monkeypatch.setattr(sources, "MOST_ENTRIES", 5)
    for number in range(20):
        write(tmp_path / "big" / f"{number}.py")
    write(tmp_path / "app.py")
    names = {os.path.basename(name) for name, _, _ in fingerprint([str(tmp_path)])}
    assert "app.py" in names
    assert len(names) < 6
