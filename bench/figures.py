"""What a measurement hands to the table: outcomes of one side, rows of both, and a name to ask for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gunicorns import OURS, STOCK, BenchError, Side
from load import RequestFailed

NOTHING = "n/a"
MISSED = "**missed**"


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    quick: bool
    sides: tuple[Side, ...]

    def scaled(self, full: int, quick: int) -> int:
        """A count, smaller in a quick run."""
        return quick if self.quick else full


def parser_of(description: str) -> argparse.ArgumentParser:
    """What each of these programs can be asked."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a smoke test")
    return parser


@dataclass(frozen=True)
class Outcome:
    """What one side reached; `verdict` is empty where there is nothing to judge."""

    text: str
    verdict: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    ours: str
    stock: str
    target: str
    verdict: str


@dataclass(frozen=True)
class Figure:
    """A group of rows that is measured together, under the name that `--only` takes."""

    name: str
    measure: Callable[[Options], list[Row]]


def judge(met: bool) -> str:
    """The word for a target that is either reached or not."""
    return "met" if met else MISSED


def progress(text: str) -> None:
    """Tell the person who waits what is going on, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def each_side(
    titles: Sequence[tuple[str, str]], measure: Callable[[Side, Options], list[Outcome]], options: Options
) -> list[Row]:
    """Measure one side after the other; `titles` are pairs of a row's name and its target."""
    outcomes: dict[str, list[Outcome]] = {}
    for side in options.sides:
        progress(f"  {side.name} ...")
        try:
            outcomes[side.name] = measure(side, options)
        except (BenchError, RequestFailed, OSError, LookupError, ValueError) as error:
            outcomes[side.name] = [Outcome(f"failed: {error!r}", MISSED)] * len(titles)
    nothing = [Outcome(NOTHING)] * len(titles)
    ours, stock = outcomes.get(OURS.name, nothing), outcomes.get(STOCK.name, nothing)
    return [
        Row(title, ours[index].text, stock[index].text, target, ours[index].verdict)
        for index, (title, target) in enumerate(titles)
    ]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """Lowest and highest value."""
    return f"{min(values):{form}} to {max(values):{form}}"
