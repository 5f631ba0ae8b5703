"""Run a script as the primary of its cluster: ``nodecluster server.py [args]``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .errors import ClusterError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Args:
        argv: the arguments after the name of the command; ``None``: this program's.
    """
    parser = argparse.ArgumentParser(
        prog="nodecluster", description="Run a script that forks workers, as Node.js runs a cluster program."
    )
    parser.add_argument("--version", action="version", version=f"nodecluster {__version__}")
    parser.add_argument("script", help="a Python file")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="what the script finds in sys.argv")
    asked = parser.parse_args(argv)
    if not os.path.isfile(asked.script):
        parser.error(f"expected a Python file, got {asked.script!r}, which does not exist")
    from ._gunicorn.script.program import run

    try:
        return run(asked.script, asked.args)
    except ClusterError as error:
        sys.stderr.write(f"nodecluster: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
