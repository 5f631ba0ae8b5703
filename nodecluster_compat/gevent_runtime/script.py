"""Run a file as the main program, as ``python file args`` does."""

from __future__ import annotations

import io
import os
import sys
import types
from collections.abc import Sequence

from .whole_prints import use_whole_prints

__all__ = ["print_uncaught", "run_script"]


def print_uncaught(error: BaseException) -> None:
    """Print the traceback of an uncaught exception, without the lines of ours that ran the script."""
    here = os.path.dirname(os.path.dirname(__file__))
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(here):
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def run_script(path: str, args: Sequence[str]) -> None:
    """Run the script ``path`` as ``__main__``; whatever it raises goes to the caller.

    Args:
        path: of a Python file.
        args: what it finds in ``sys.argv`` after its own name.

    Raises:
        OSError: the file cannot be read.
        SyntaxError: it is no Python.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A server runs on after its last line: what it prints to a pipe, or a log, is to be seen at once, as in Node.
        sys.stdout.reconfigure(line_buffering=True)
    use_whole_prints()
    sys.argv = [path, *args]
    folder = os.path.dirname(os.path.abspath(path))
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    with io.open_code(os.path.abspath(path)) as file:
        source = file.read()
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - that is what running it means
