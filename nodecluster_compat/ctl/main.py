"""Run ``nodeclusterctl``: find the server, carry out one command, say in a sentence what is wrong."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

from ..base.one_line import one_line
from .arguments import make_parser
from .client import ControlClient, NoServer, Refused, path_of_server
from .commands import COMMANDS
from .output import UNPRINTABLE
from .top.terminal import NoTerminal
from .waiting import Overdue

__all__ = ["main"]

_FAILED: Final = 1
_NO_SERVER: Final = 2
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status.

    Args:
        arguments: after the name of the command; ``None``: this program's.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = make_parser().parse_args(_with_negative_numbers(arguments))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=UNPRINTABLE)
    try:
        return _run(options)
    except NoServer as error:
        return _fail(options, _NO_SERVER, error)
    except (Refused, Overdue, NoTerminal) as error:
        return _fail(options, _FAILED, error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # who reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(options, _FAILED, error)


def _run(options: Namespace) -> int:
    path, known_by = path_of_server(options.control_socket)
    with ControlClient(path, known_by) as server:
        try:
            return COMMANDS[options.command](server, options)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Of an answer: it has other keys, other types, or numbers beyond reason.
            raise Refused(f"the server on {path} says what this version does not understand: {error!r}") from error


def _fail(options: Namespace, status: int, error: Exception) -> int:
    if options.json:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
    sys.stderr.write(f"nodeclusterctl: {one_line(str(error))}\n")  # a worker's words may be in it
    return status


def _with_negative_numbers(arguments: Sequence[str]) -> list[str]:
    """Let ``scale -1`` be a number, not an option that nobody knows."""
    words = list(arguments)
    if "scale" in words and "--" not in words:
        numbers = [word for word in words if word[:1] == "-" and word[1:].isdigit()]
        if len(numbers) == 1:
            words.remove(numbers[0])
            return [*words, "--", numbers[0]]
    return words


if __name__ == "__main__":
    sys.exit(main())
