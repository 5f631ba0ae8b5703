"""A small shop.  Each worker is a process of its own: what must be one for all of them is in the database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask, request, session

HERE = Path(__file__).parent
DATABASE = os.environ.get("SHOP_DATABASE", str(HERE / "shop.sqlite"))
VERSION = Path(os.environ.get("SHOP_VERSION", HERE / "VERSION")).read_text().strip()
TABLES = """
CREATE TABLE IF NOT EXISTS visits (number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (key TEXT PRIMARY KEY);
"""

app = Flask(__name__)
app.secret_key = os.environ.get("SHOP_SECRET", "the same in every worker")


@contextmanager
def transaction(path: str = DATABASE) -> Iterator[sqlite3.Connection]:
    """One transaction that nobody else's comes between."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


def create_tables(path: str = DATABASE) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
    connection.close()


@app.get("/version")
def version() -> str:
    return VERSION


@app.post("/visits")
def visit() -> str:
    """Count a visit; a global variable would count each worker's own."""
    with transaction() as connection:
        connection.execute("INSERT INTO visits VALUES (1)")
        (number,) = connection.execute("SELECT sum(number) FROM visits").fetchone()
    return str(number)


@app.post("/pay")
def pay() -> str:
    """Charge and confirm; the key lets a customer who got no answer ask again."""
    key = request.headers["Idempotency-Key"]
    charge(key, 5)
    confirm(key)
    return "paid"


def charge(key: str, amount: int) -> None:
    """Take the money, once for each key."""
    with transaction() as connection:
        connection.execute("INSERT OR IGNORE INTO charges VALUES (?, ?)", (key, amount))


def confirm(key: str) -> None:
    """Write down that it was taken."""
    with transaction() as connection:
        connection.execute("INSERT OR IGNORE INTO orders VALUES (?)", (key,))


@app.post("/login")
def login() -> str:
    session["name"] = request.get_json()["name"]
    return "welcome"


@app.get("/me")
def me() -> str:
    return session.get("name", "nobody")
