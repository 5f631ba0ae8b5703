"""Turn what a worker has sampled into what other programs show: collapsed stacks, speedscope's JSON.  Pure.

A worker wrote it, so what it is is checked first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ..base.one_line import one_line
from .client import Refused
from .tables import size, table

__all__ = ["Profile", "collapsed_text", "heap_of", "heap_text", "profile_of", "speedscope_of", "summary_of"]

_MOST: Final = 1e15  # of seconds, and of samples
_MOST_CHARACTERS: Final = 1000


class Profile(Struct, frozen=True):
    """What a worker has sampled.

    Attributes:
        seconds: how long it took.
        rate: samples a second, as asked for.
        samples: how often it looked.
        idle: threads that had nothing to do when it did.
        stacks: how often each was seen; the outermost function first, separated by semicolons.
    """

    seconds: float
    rate: float
    samples: int
    idle: int
    stacks: Mapping[str, int]


def profile_of(result: str) -> Profile:
    """Return the profile that a worker wrote.

    Raises:
        Refused: it wrote none, and why.
    """
    found = _decoded(result)
    try:
        stacks = {str(stack): int(count) for stack, count in found["stacks"].items()}
        numbers = float(found["seconds"]), float(found["rate"]), int(found["samples"]), int(found["idle"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise Refused(f"the worker wrote what is no profile: {error!r}") from None
    profile = Profile(*numbers, stacks)
    if not 0 < profile.rate < math.inf:
        raise Refused(f"the worker wrote what is no profile: {profile.rate:g} samples a second")
    counts = (profile.seconds, profile.samples, profile.idle, *stacks.values())
    if not all(0 <= count <= _MOST for count in counts):
        raise Refused("the worker wrote what is no profile: it has counts beyond reason")
    return profile


def _decoded(result: str) -> Mapping[str, Any]:
    try:
        found = json.loads(result)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the worker wrote what is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused("the worker wrote what is no JSON object")
    if "error" in found:
        raise Refused(f"the worker could not do it: {str(found['error'])[:_MOST_CHARACTERS]}")
    return found


def collapsed_text(profile: Profile) -> str:
    """Return a line for each stack: its functions, separated by semicolons, and how often it was seen."""
    ordered = sorted(profile.stacks.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(f"{one_line(stack)} {count}" for stack, count in ordered)


def speedscope_of(profile: Profile, name: str) -> dict[str, Any]:
    """Return the profile as https://www.speedscope.app/file-format-schema.json says."""
    numbers: dict[str, int] = {}
    samples = [[numbers.setdefault(frame, len(numbers)) for frame in stack.split(";")] for stack in profile.stacks]
    weights = [count / profile.rate for count in profile.stacks.values()]
    sampled = {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "activeProfileIndex": 0,
        "exporter": "nodeclusterctl",
        "shared": {"frames": [_frame(name) for name in numbers]},
        "profiles": [sampled],
    }


def _frame(text: str) -> dict[str, Any]:
    function, _, place = text.rpartition(" (")
    file, _, line = place.rstrip(")").rpartition(":")
    if not (function and file and line.isdigit()):
        return {"name": text}
    return {"name": function, "file": file, "line": int(line)}


def summary_of(profile: Profile, name: str) -> str:
    """Return in a sentence what was found."""
    busy = sum(profile.stacks.values())
    looks = f"{profile.samples} samples in {profile.seconds:.1f} s"
    return f"{name}: {looks}, {busy} of a thread at work, {profile.idle} of an idle one"


def heap_of(result: str) -> Mapping[str, Any]:
    """Return what a worker says of its heap.

    Raises:
        Refused: it says nothing that makes sense.
    """
    found = _decoded(result)
    if not isinstance(found.get("tracing"), bool):
        raise Refused("the worker wrote nothing of its heap")
    return found


def heap_text(found: Mapping[str, Any], slot: str) -> str:
    """Return the lines that take most memory."""
    if not found["tracing"]:
        return f"nothing is traced: run 'nodeclusterctl heap {slot} --start', and ask again after some requests"
    traced = f"{size(found['bytes'])} traced, {size(found['peak_bytes'])} at most"
    if not found["lines"]:
        return f"tracing: {traced}"
    rows = ([size(one["bytes"]), one["blocks"], one["where"]] for one in found["lines"])
    return f"{table(['SIZE', 'BLOCKS', 'ALLOCATED AT'], rows)}\n{traced}"
