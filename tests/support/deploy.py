"""Deploy to a running cluster of ``deployed:app``: ``DEPLOYED`` is what the marker needs."""

from __future__ import annotations

from typing import Any, Final

from raw_http import APPS, folder_of
from remote_control import said, wait

from pytest_cluster import Cluster

__all__ = ["CONF", "DEPLOYED", "reload", "write"]

CONF: Final = (APPS / "conf_told.py").read_text()
DEPLOYED: Final[dict[str, Any]] = {"app": "deployed:app", "config": CONF}


def write(cluster: Cluster, **files: str) -> None:
    """``version="2"`` is the file ``version``, ``at_import="..."`` the file ``at_import.py``."""
    for name, text in files.items():
        path = folder_of(cluster) / (name if name == "version" else f"{name}.py")
        draft = path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(path)


def reload(cluster: Cluster) -> dict[str, Any]:
    """HUP, and what is told at its end."""

    def told() -> list[dict[str, Any]]:
        return [*said(cluster, told="reloaded"), *said(cluster, told="reload_failed")]

    before = len(told())
    cluster.primary.signal("SIGHUP")
    wait(lambda: len(told()) > before, "the end of the reload", cluster)
    report: dict[str, Any] = max((one["what"] for one in told()), key=lambda what: what["number"])
    return report
