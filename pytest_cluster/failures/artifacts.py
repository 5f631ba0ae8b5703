"""Write the artefacts of a failed test: the whole journal, all logs, the stacks, in pytest's cache or where one says.

Bounded: the newest failures stay.  A disk that is full costs the artefacts, and a line in the report that says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..options import settings

if TYPE_CHECKING:
    import pytest

    from ..journal.entries import JournalEntry
    from ..server.server_process import ServerProcess

__all__ = ["KEPT_FAILURES", "artifacts_folder", "forget_oldest", "write_artifacts"]

KEPT_FAILURES = 50
LOG_BYTES = 5 * 1024 * 1024
NAME_CHARACTERS = 120
TEST_FILE = "test.txt"
JOURNAL_FILE = "journal.jsonl"


def artifacts_folder(config: pytest.Config) -> str | None:
    """Return the folder of all failures; ``None`` when nobody names one, and pytest runs without its cache.

    :raises OSError: it cannot be made.
    """
    named = settings.path_of(config, "artifacts")
    if named is not None:
        os.makedirs(named, exist_ok=True)
        return named
    cache: Any = getattr(config, "cache", None)
    if cache is None:
        return None
    return str(cache.mkdir("cluster"))


def write_artifacts(
    base: str, nodeid: str, server: ServerProcess, sections: Sequence[tuple[str, str]], *, part: str = ""
) -> str:
    """Write everything of one failure, in place of what an earlier one of the same test left; return the folder.

    :param part: ends the folder's name, where a test has several.
    :raises OSError: it cannot be written; nothing of it is left.
    """
    folder = _folder_of(base, f"{nodeid}{part}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.makedirs(folder)
        _fill(folder, f"{nodeid}{part}", server, sections)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _fill(folder: str, test: str, server: ServerProcess, sections: Sequence[tuple[str, str]]) -> None:
    _write(os.path.join(folder, TEST_FILE), f"{test}\n")
    _write(os.path.join(folder, JOURNAL_FILE), "".join(_line(entry) for entry in server.journal.entries))
    _write(os.path.join(folder, "primary.log"), server.logs.primary.text)
    for worker, log in server.logs.of_workers().items():
        _write(os.path.join(folder, f"worker-{worker}.log"), log.text)
    for title, text in sections:
        _write(os.path.join(folder, f"{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.txt"), text)


def forget_oldest(config: pytest.Config) -> None:
    """Remove all but the newest failures, and nothing that somebody else has put beside them.

    The processes of xdist do not: what one of them has just written may not be the newest any more when it is read.
    """
    if hasattr(config, "workerinput"):
        return
    with contextlib.suppress(OSError):
        base = artifacts_folder(config)
        if base is None:
            return
        named = (os.path.join(base, name) for name in os.listdir(base))
        is_shared = settings.path_of(config, "artifacts") is not None
        folders = sorted((one for one in named if not is_shared or _is_ours(one)), key=os.path.getmtime)
        for folder in folders[:-KEPT_FAILURES]:
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: str) -> bool:
    return all(os.path.isfile(os.path.join(folder, name)) for name in (TEST_FILE, JOURNAL_FILE))


def _folder_of(base: str, name: str) -> str:
    """Return a folder for *name*, with a hash at its end where another test's name gives the same path."""
    plain = re.sub(r"[^\w.=-]+", "_", name).strip("_")[-NAME_CHARACTERS:]
    folder = os.path.join(base, plain)
    if not os.path.exists(folder) or _test_of(folder) in ("", name):
        return folder
    return f"{folder}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _test_of(folder: str) -> str:
    with contextlib.suppress(OSError), open(os.path.join(folder, TEST_FILE), encoding="utf-8") as file:
        return file.read().rstrip("\n")
    return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(text[-LOG_BYTES:])


def _line(entry: JournalEntry) -> str:
    return json.dumps(dataclasses.asdict(entry), default=repr) + "\n"
