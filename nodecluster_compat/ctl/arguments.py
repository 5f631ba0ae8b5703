"""Define the arguments of each command of ``nodeclusterctl``, and an example that was really printed.

The examples are in ``examples.txt``, one below the other; ``--help`` of a command shows its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.resources import files
from typing import Final

from ..base.variables import CONTROL_SOCKET
from ..base.version import __version__

__all__ = ["EXIT_STATUSES", "example_of", "make_parser"]

EXIT_STATUSES: Final = """\
exit status:
  0  it is so, or was done
  1  it is not so, was refused, failed, or has not ended in time
  2  no server answers, or the command line makes no sense
"""
_EXAMPLES: Final = "examples.txt"
_MARK: Final = "$ nodeclusterctl "
_SLOT_HELP: Final = "a slot such as 2; pid:4711 or id:9 name one of two workers in a slot"

_SHORTEST: Final = 0.2
_LONGEST: Final = 3600.0
_MOST_SECONDS: Final = 1e6

Add = Callable[[argparse.ArgumentParser], None]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="nodeclusterctl",
        description="See and steer a running server, in server mode and in script mode.",
        epilog="The server is found by --control-socket, by the variable " + CONTROL_SOCKET + ", or where gunicorn "
        "puts its control socket.\n\n" + EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nodeclusterctl {__version__}")
    _add_common(parser, None, is_json=False)
    common = argparse.ArgumentParser(add_help=False)
    _add_common(common, argparse.SUPPRESS, is_json=argparse.SUPPRESS)  # what stands before the command counts as well
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (help_line, add) in _COMMANDS.items():
        one = commands.add_parser(
            name,
            help=help_line,
            description=f"{help_line}.",
            parents=[common],
            epilog=f"example:\n{example_of(name)}\n{EXIT_STATUSES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(one)
    return parser


def example_of(name: str) -> str:
    """Return what a command has printed, indented; nothing if there is no example of it."""
    text = files(__package__).joinpath(_EXAMPLES).read_text(encoding="utf-8")
    for block in text.split(_MARK)[1:]:
        if block.split(maxsplit=1)[0] == name:
            return "".join(f"  {line}\n" for line in (_MARK + block.rstrip()).split("\n"))
    return ""


def _add_common(parser: argparse.ArgumentParser, path: str | None, *, is_json: bool | str) -> None:
    where = "where the server listens for operators"
    parser.add_argument("--control-socket", metavar="PATH", default=path, help=where)
    parser.add_argument("--json", action="store_true", default=is_json, help="print JSON")


def _nothing(_: argparse.ArgumentParser) -> None:
    """It has no arguments of its own."""


def _waits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the end")
    parser.add_argument("--timeout", type=_number, default=300.0, metavar="SECONDS", help="wait so long (default: 300)")


def _slot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", metavar="SLOT", help=_SLOT_HELP)


def _slot_and_waits(parser: argparse.ArgumentParser) -> None:
    _slot(parser)
    _waits(parser)


def _any_slot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", metavar="SLOT|all", nargs="?", help=f"{_SLOT_HELP}; all of them without it")


def _restart(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slot", metavar="SLOT|all", nargs="?", help=f"{_SLOT_HELP}; all of them without it")
    _waits(parser)


def _scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", metavar="N|+N|-N", help="so many workers, or so many more or fewer")
    _waits(parser)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {_MOST_SECONDS:g}, got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, got {text!r}")
    return int(text)


def _interval(text: str) -> float:
    value = _number(text)
    if not _SHORTEST <= value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"expected {_SHORTEST:g} to {_LONGEST:g} seconds, got {text!r}")
    return value


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval", type=_interval, default=2.0, metavar="SECONDS", help="from one look to the next (default: 2)"
    )
    parser.add_argument("--once", action="store_true", help="print it once, after one interval; needs no terminal")


def _events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what happens, until interrupted")
    parser.add_argument("--last", type=_count, default=20, metavar="N", help="begin with the last N (default: 20)")


def _logs(parser: argparse.ArgumentParser) -> None:
    _slot(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what it logs, until interrupted")


def _profile(parser: argparse.ArgumentParser) -> None:
    _slot(parser)
    parser.add_argument("--seconds", type=_number, default=10.0, metavar="N", help="how long (default: 10)")
    parser.add_argument("--rate", type=_number, default=100.0, metavar="N", help="samples a second (default: 100)")
    parser.add_argument(
        "--format",
        choices=("collapsed", "speedscope"),
        default="collapsed",
        help="a line for each stack and its count, or JSON for https://www.speedscope.app (as --json)",
    )
    parser.add_argument("--output", "-o", metavar="FILE", help="write it there")


def _heap(parser: argparse.ArgumentParser) -> None:
    _slot(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--start", action="store_true", help="trace from now on; makes the worker slower")
    which.add_argument("--stop", action="store_true", help="trace no more")


_COMMANDS: Final[dict[str, tuple[str, Add]]] = {
    "status": ("Show the server and its workers", _nothing),
    "workers": ("Show the workers", _nothing),
    "top": ("Show the server live, and steer it by keys; ? shows which", _top),
    "live": ("Say whether the server is of any use: not while workers keep failing and none serves", _nothing),
    "ready": ("Say whether a request would be answered now", _nothing),
    "reload": ("Load configuration and application anew: start new workers, then drain the old", _waits),
    "scale": ("Have another number of workers", _scale),
    "restart": ("Replace workers one by one; a successor listens before the old one goes", _restart),
    "drain": ("Let a worker finish what it has, then end; another takes its place", _slot_and_waits),
    "kill": ("Kill a worker with SIGKILL; what it is answering is lost", _slot_and_waits),
    "stacks": ("Show what the threads, greenlets and tasks of workers are doing now", _any_slot),
    "requests": ("Show the requests in flight, oldest first, and at which line of code each is", _any_slot),
    "exits": ("Show how the last workers ended, and why", _nothing),
    "events": ("Show what has happened", _events),
    "logs": ("Show the end of the error log of a worker", _logs),
    "profile": ("Sample what a worker is doing, also one that is blocked in Python", _profile),
    "heap": ("Show which lines take a worker's memory (tracemalloc), once that is traced", _heap),
}
