"""Write metrics in the text formats of Prometheus and of OpenMetrics.  Pure.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, 0.0.4) and
https://prometheus.io/docs/specs/om/open_metrics_spec/ (OpenMetrics 1.0.0).  They differ in the names of counters, in
escaping, in exemplars (which only OpenMetrics has), and in the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from .families import Exemplar, Family, Kind, Labels, Sample, plain_label, plain_name

__all__ = ["OPENMETRICS_TYPE", "TEXT_TYPE", "negotiated", "openmetrics", "text"]

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_MOST_REMEMBERED: Final = 16 * 1024
_MOST_BYTES: Final = 8 * 1024 * 1024

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
        name = family.name
        lines.append(_text_head(name, family.kind, family.about))
        lines += [f"{_start(name, one.suffix, one.labels)}{_number(one.value)}\n" for one in family.samples]
    return "".join(lines).encode(errors="replace")  # the path of a listener may be any bytes


@lru_cache(_MOST_REMEMBERED)
def _text_head(name: str, kind: Kind, about: str) -> str:
    told, is_now = plain_name(name), "gauge" if kind == "info" else kind
    if kind in ("counter", "info"):
        told += "_total" if kind == "counter" else "_info"
    about = about.replace("\\", r"\\").replace("\n", r"\n")
    return _remembered(f"# HELP {told} {about}\n# TYPE {told} {is_now}\n")


def openmetrics(families: Iterable[Family]) -> bytes:
    """Return the families in the format of OpenMetrics."""
    lines: list[str] = []
    for family in families:
        lines.append(_openmetrics_head(family.name, family.kind, family.about, family.unit))
        lines += [_openmetrics_line(family.name, sample) for sample in family.samples]
    return "".join([*lines, "# EOF\n"]).encode(errors="replace")


@lru_cache(_MOST_REMEMBERED)
def _openmetrics_head(name: str, kind: Kind, about: str, unit: str) -> str:
    name = plain_name(name)
    head = f"# HELP {name} {_escaped(about)}\n# TYPE {name} {kind}\n"
    return _remembered(f"{head}# UNIT {name} {unit}\n" if unit else head)


def _openmetrics_line(name: str, sample: Sample) -> str:
    line = f"{_start(name, sample.suffix, sample.labels)}{_number(sample.value)}"
    return f"{line}\n" if sample.exemplar is None else f"{line} # {_exemplar(sample.exemplar)}\n"


def _exemplar(exemplar: Exemplar) -> str:
    return f"{_labels(exemplar.labels) or '{}'} {_number(exemplar.value)} {_number(exemplar.timestamp)}"


@lru_cache(_MOST_REMEMBERED)
def _start(name: str, suffix: str, labels: Labels) -> str:
    """Return what a line has before the value: the same at each scrape."""
    return _remembered(f"{plain_name(name)}{suffix}{_labels(labels)} ")


class _Remembered:
    bytes = 0  # about, of what was told so far


def _remembered(text: str) -> str:
    """Return a text that is about to be remembered; forget all others when they have become too large together."""
    _Remembered.bytes += len(text)
    if _Remembered.bytes > _MOST_BYTES:
        _Remembered.bytes = len(text)
        for one in (_text_head, _openmetrics_head, _start):
            one.cache_clear()
    return text


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{plain_label(name)}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if type(value) is int or math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
