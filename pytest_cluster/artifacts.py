"""What a failed test leaves on disk: the whole journal, all logs, the stacks, in a folder of pytest's cache.

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

if TYPE_CHECKING:
    import pytest

    from .cluster import Cluster

__all__ = ["KEPT_FAILURES", "artifacts_folder", "write_artifacts"]

KEPT_FAILURES = 50
LOG_BYTES = 5 * 1024 * 1024
NAME_CHARACTERS = 120


def artifacts_folder(config: pytest.Config) -> str | None:
    """Return the folder of all failures; ``None`` when pytest runs without its cache."""
    cache: Any = getattr(config, "cache", None)
    if cache is None:
        return None
    return str(cache.mkdir("cluster"))


def write_artifacts(
    base: str, nodeid: str, cluster: Cluster, sections: Sequence[tuple[str, str]], *, number: int = 1
) -> str:
    """Write everything of one failure, in place of what an earlier one of the same test left; return the folder.

    :param number: of the cluster, where a test has several.
    :raises OSError: it cannot be written.
    """
    folder = os.path.join(base, _folder_name(nodeid) + ("" if number == 1 else f".{number}"))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    _write(os.path.join(folder, "journal.jsonl"), "".join(_line(entry) for entry in cluster.journal.entries))
    _write(os.path.join(folder, "primary.log"), cluster.server.logs.primary.text)
    for worker, log in cluster.server.logs.of_workers().items():
        _write(os.path.join(folder, f"worker-{worker}.log"), log.text)
    for title, text in sections:
        _write(os.path.join(folder, f"{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.txt"), text)
    _forget_oldest(base)
    return folder


def _folder_name(nodeid: str) -> str:
    name = re.sub(r"[^\w.=-]+", "_", nodeid).strip("_")
    if len(name) <= NAME_CHARACTERS:
        return name
    return f"{name[-NAME_CHARACTERS:]}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(text[-LOG_BYTES:])


def _line(entry: Any) -> str:
    return json.dumps(dataclasses.asdict(entry), default=repr) + "\n"


def _forget_oldest(base: str) -> None:
    with contextlib.suppress(OSError):
        folders = sorted((os.path.join(base, name) for name in os.listdir(base)), key=os.path.getmtime)
        for folder in folders[:-KEPT_FAILURES]:
            shutil.rmtree(folder, ignore_errors=True)
