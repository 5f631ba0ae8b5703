"""Write the page of a run: one file with everything in it, of bounded size, which loads nothing and needs no server.

What tests, workers and clients have said is hostile: it is data, in a block that no browser runs, and the page puts it
in as text.  Its policy allows the one script and the one style that are in the file, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["MOST_BYTES", "page_of"]

MOST_BYTES: Final = 5_000_000
"""For a whole page."""
_FILE: Final = os.path.join(os.path.dirname(__file__), "page.html")
_LISTS: Final = ("entries", "requests", "logs")
_TEXTS: Final = ("stacks", "sections")
_KEPT: Final = (400, 200, 100, 50, 25, 12, 6, 0)
"""How much of each list is tried, one after another, until all fits."""
_LINES_OF_A_TEXT: Final = 80
_ERROR_CHARACTERS: Final = 4000

Failure = Mapping[str, Any]
"""A ``FailureRecord`` as a mapping."""


def page_of(title: str, about: str, failures: Sequence[Failure], *, most_bytes: int = MOST_BYTES) -> str:
    """Return the page; where it would be too large, with less of every failure, or of the first ones only.

    :param title: of the page, a sentence.
    :param about: when, how long, by what.
    :param most_bytes: of the page in UTF-8.
    """
    with open(_FILE, encoding="utf-8") as file:
        text = file.read()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of(text, '<script>')}",
            f"style-src {_hash_of(text, '<style>')}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    data = _fitting(title, about, failures, most_bytes - len(text.encode()) - len(policy))
    return text.replace("%POLICY%", policy, 1).replace("%DATA%", data, 1)


def _hash_of(text: str, tag: str) -> str:
    found = re.search(f"{tag}(.*?)</{tag[1:]}", text, re.DOTALL)
    assert found is not None, f"the page has no {tag}"
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _fitting(title: str, about: str, failures: Sequence[Failure], room: int) -> str:
    most: float = _KEPT[0]
    for kept in _KEPT:
        if 0 < most < kept:
            continue
        data = _encoded(title, about, [_cut(one, kept) for one in failures], _cut_told(kept))
        if len(data) <= room:
            return data
        most = 2 * kept * room / len(data)  # more than that would not fit either: it is not tried
    shown = failures
    while True:
        shown = shown[: len(shown) * 3 // 4]
        told = f"{_cut_told(0)}; of {len(failures)} failures these are the first {len(shown)}"
        data = _encoded(title, about, [_cut(one, 0) for one in shown], told)
        if len(data) <= room or not shown:
            return data


def _cut_told(kept: int) -> str:
    if kept == _KEPT[0]:
        return ""
    return f"the page would be too large: of each cluster it has the last {kept} entries, requests and lines only"


def _cut(failure: Failure, kept: int) -> dict[str, Any]:
    clusters = [_cut_cluster(one, kept) for one in failure["clusters"]]
    characters = max(200, _ERROR_CHARACTERS * kept // _KEPT[0])
    return {**failure, "error": str(failure["error"])[-characters:], "clusters": clusters}


def _cut_cluster(cluster: Mapping[str, Any], kept: int) -> dict[str, Any]:
    lines = _LINES_OF_A_TEXT * kept // _KEPT[0]
    cut = {name: list(cluster[name])[len(cluster[name]) - min(kept, len(cluster[name])) :] for name in _LISTS}
    texts = {name: [[title, _end_of(text, lines)] for title, text in cluster[name] if lines] for name in _TEXTS}
    return {**cluster, **cut, **texts, "workers": list(cluster["workers"])[-max(kept, 3) :]}


def _end_of(text: str, lines: int) -> str:
    return "\n".join(text.splitlines()[-lines:])


def _encoded(title: str, about: str, failures: Sequence[Failure], cut: str) -> str:
    """Return what the page reads: JSON in which nothing can end the block that it stands in."""
    told = {"title": title, "about": about, "cut": cut, "failures": failures}
    return json.dumps(told, separators=(",", ":"), default=repr).replace("<", "\\u003c")
