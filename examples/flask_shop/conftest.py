"""The database and the version of the shop under test: files, because several processes share them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import shop


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="session")
def cluster_options(folder):
    """What every cluster of this project has, beside what a marker says."""
    return {"env": {"SHOP_DATABASE": str(folder / "shop.sqlite"), "SHOP_VERSION": str(folder / "VERSION")}}


@pytest.fixture
def version(folder) -> Path:
    """The file that a deployment changes."""
    return folder / "VERSION"


@pytest.fixture
def database(folder) -> Path:
    return folder / "shop.sqlite"


@pytest.fixture(autouse=True)
def new_shop(database, version):
    """Each test begins with empty tables and version 1."""
    version.write_text("1")
    shop.create_tables(str(database))
    with shop.transaction(str(database)) as connection:
        for table in ("visits", "charges", "orders"):
            connection.execute(f"DELETE FROM {table}")


@pytest.fixture
def rows(database):
    """How many rows a table has."""

    def count(table: str) -> int:
        connection = sqlite3.connect(database)
        try:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            connection.close()

    return count
