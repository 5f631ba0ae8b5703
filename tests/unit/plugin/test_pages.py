"""docs/testing.md and docs/testing-reference.md name everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pytest_cluster
from pytest_cluster import ClusterOptions, Faults, WorkerProxy
from pytest_cluster.faults.cluster_faults import BOOT_FAILURES
from pytest_cluster.options.settings import SETTINGS
from pytest_cluster.stash import FIXTURES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = "".join((DOCS / name).read_text() for name in ("testing.md", "testing-reference.md"))


def public(one: type) -> list[str]:
    return [name for name in vars(one) if not name.startswith("_")]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_options(setting: object) -> None:
    for name in ("option", "ini", "variable"):
        assert f"`{getattr(setting, name)}" in PAGE


@pytest.mark.parametrize(
    "names",
    [
        ClusterOptions.keywords(),
        FIXTURES,
        BOOT_FAILURES,
        [name for name in public(Faults) if name not in ("undo", "injected")],
        [name for name in public(WorkerProxy) if name not in ("title", "check_alive", "is_ending")],
        ["url", "workers", "worker", "primary", "snapshot", "scale", "reload", "disconnect", "stop", "run_in_all"],
        [name for name in pytest_cluster.__all__ if name.startswith("assert_")],
    ],
    ids=["keywords", "fixtures", "boot failures", "faults", "worker", "cluster", "asserts"],
)
def test_names(names: list[str]) -> None:
    assert [name for name in names if not re.search(rf"(?m)(^|[`. ]){re.escape(name)}([`( ,).]|$)", PAGE)] == []
