"""Write metrics in the text formats of Prometheus and of OpenMetrics.  Pure.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, 0.0.4) and
https://prometheus.io/docs/specs/om/open_metrics_spec/ (OpenMetrics 1.0.0).  They differ in the names of counters, in
escaping, in exemplars (which only OpenMetrics has), and in the end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from .families import Exemplar, Family, Labels, Sample

__all__ = ["OPENMETRICS_TYPE", "TEXT_TYPE", "negotiated", "openmetrics", "text"]

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_NAME: Final = re.compile(r"[^a-zA-Z0-9_:]")
_MOST_REMEMBERED: Final = 16 * 1024

Writer: TypeAlias = Callable[[Iterable[Family]], bytes]


def negotiated(accept: str) -> tuple[str, Writer]:
    """Return the content type and the writer for an ``Accept`` header: text, unless OpenMetrics is preferred."""
    wishes = [_wish(part) for part in accept.split(",")]
    wish = max((weight for kind, weight in wishes if kind == "application/openmetrics-text"), default=0.0)
    plain = max((weight for kind, weight in wishes if kind == "text/plain"), default=0.0)
    return (OPENMETRICS_TYPE, openmetrics) if wish > plain else (TEXT_TYPE, text)


def _wish(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip() for piece in part.split(";"))
    weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
    try:
        return kind.lower(), float(weight)
    except ValueError:
        return kind.lower(), 0.0


def text(families: Iterable[Family]) -> bytes:
    """Return the families in the text format of Prometheus."""
    lines: list[str] = []
    for family in families:
        name = _name(family.name)
        told, kind = name, family.kind
        if family.kind == "counter":
            told = f"{name}_total"
        elif kind == "info":
            told, kind = f"{name}_info", "gauge"
        about = family.about.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {told} {about}\n", f"# TYPE {told} {kind}\n"]
        lines += [
            f"{name}{sample.suffix}{_labels(sample.labels)} {_number(sample.value)}\n" for sample in family.samples
        ]
    return "".join(lines).encode()


def openmetrics(families: Iterable[Family]) -> bytes:
    """Return the families in the format of OpenMetrics."""
    lines: list[str] = []
    for family in families:
        name = _name(family.name)
        lines += [f"# HELP {name} {_escaped(family.about)}\n", f"# TYPE {name} {family.kind}\n"]
        if family.unit:
            lines.append(f"# UNIT {name} {family.unit}\n")
        lines += [_openmetrics_line(name, sample) for sample in family.samples]
    return "".join([*lines, "# EOF\n"]).encode()


def _openmetrics_line(name: str, sample: Sample) -> str:
    line = f"{name}{sample.suffix}{_labels(sample.labels)} {_number(sample.value)}"
    return f"{line}\n" if sample.exemplar is None else f"{line} # {_exemplar(sample.exemplar)}\n"


def _exemplar(exemplar: Exemplar) -> str:
    return f"{_labels(exemplar.labels) or '{}'} {_number(exemplar.value)} {_number(exemplar.timestamp)}"


@lru_cache(_MOST_REMEMBERED)
def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{_name(name)}="{_escaped(value)}"' for name, value in labels) + "}"


@lru_cache(_MOST_REMEMBERED)
def _name(name: str) -> str:
    """Return a name as every reader of these formats takes it: what else is in it becomes an underscore."""
    name = _NAME.sub("_", name)
    return f"_{name}" if name[:1].isdigit() else name


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
