"""The sources of an installed distribution, from the index: what tests it has itself is there."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

__all__ = ["sources_of"]


def sources_of(name: str, folder: Path) -> Path:
    """Return the folder of the unpacked sources, of the version that is installed; skip where there is no network."""
    wanted = f"{name}=={metadata.version(name)}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, wanted]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=400)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        pytest.skip(f"the sources of {wanted} cannot be had: {done.stderr[-200:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())
