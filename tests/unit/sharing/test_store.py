"""The store: its verbs, its bounds, what is evicted, what a killed process leaves, what is broken."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import SMALL
from store_verbs import check_verbs

from nodecluster_compat.errors import (
    ArgumentError,
    ArgumentTypeError,
    KeyTooLong,
    MessageNotSerializable,
    MessageTooLarge,
    SettingsError,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
    WouldBlock,
)
from nodecluster_compat.sharing import lmdb_file
from nodecluster_compat.sharing.entries import key_of
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.lmdb_file import LmdbFile
from nodecluster_compat.sharing.store import Store

_META_BYTES = 8192


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test moves."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


VALUES = [
    None,
    True,
    0,
    -5,
    2**63 - 1,
    2**64 - 1,
    1.5,
    "text",
    b"\0\xff",
    [1, [2]],
    {"a": {"b": None}},
    "",
    "x" * 100_000,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_come_back(store: Store, value: Any) -> None:
    """Whatever MessagePack carries; ``None`` is a value, and not the same as nothing."""
    assert store.set("key", value)
    assert store.get("key", "nothing") == value
    assert store["key"] == value
    assert type(store["key"]) is type(value)
    assert "key" in store


def test_verbs(store: Store, clock: list[float]) -> None:
    """As Redis has them."""
    check_verbs(store)
    store.set("flag", True)
    store.set("none", None)
    for expected in (1, 1.0, None):
        assert not store.compare_and_set("flag", expected, "other")
    assert not store.compare_and_set("none", None, "other")  # something is kept
    store.set("pair", (1, 2))
    assert store.compare_and_set("pair", (1, 2), False)
    assert store.get_many(["flag", "none", "pair"]) == {"flag": True, "none": None, "pair": False}
    store.delete("flag", "none", "pair")
    del store["a"]
    with pytest.raises(KeyError):
        del store["a"]
    with pytest.raises(KeyError):
        _ = store["a"]
    store.clear()
    assert (len(store), store.bytes, store.get("c")) == (0, 0, None)


def test_what_is_over_is_no_key(store: Store, clock: list[float]) -> None:
    """Nor counted; its memory is had again by whoever deletes what begins so."""
    store.set_many({"on:a": 1, "off": 2})
    store.set("on:b", 3, ttl=10)
    assert (sorted(store.keys("on:")), len(store)) == (["on:a", "on:b"], 3)
    clock[0] += 10
    assert (store.keys("on:"), len(store), store.engine.taken().entries) == (["on:a"], 2, 3)
    assert store.delete_prefix("on:") == 1
    assert (store.keys(), store.engine.taken().entries) == (["off"], 1)


def test_deleting_by_a_prefix_holds_up_no_writer(store: Store, clock: list[float]) -> None:
    """Others write between its steps, and all that was there when it began is gone."""
    store.set_many({f"p:{number}": number for number in range(1200)})
    engine = store.engine
    assert isinstance(engine, LmdbEngine)
    delete, steps = engine.delete, []

    def delete_beside_others(keys: Any) -> int:
        steps.append(len(keys))
        store.set_many({f"q:{number}": len(steps) for number in range(len(steps))})
        store.set("p:new", len(steps))
        return delete(keys)

    engine.delete = delete_beside_others  # type: ignore[method-assign]
    assert store.delete_prefix("p:") == 1200
    assert steps == [500, 500, 200]
    assert sorted(store.keys()) == ["p:new", "q:0", "q:1", "q:2"]


def test_a_step_that_uses_the_store(store: Store, clock: list[float]) -> None:
    """Is refused by a sentence that names it, and nothing has happened."""
    with pytest.raises(WouldBlock, match=r"in a step of update\(\)"):
        store.update("a", lambda _: (store.incr("b"), None))
    assert store.keys() == []


def test_time_to_live(store: Store, clock: list[float]) -> None:
    """Over at its moment, for every verb; a count keeps the time of its beginning."""
    store.set("a", 1, ttl=10)
    store.incr("n", ttl=10)
    clock[0] += 5
    assert (store.incr("n", ttl=10), store.ttl("n"), store.ttl("nothing")) == (2, 5.0, 0.0)
    assert store.expire("a", 100)
    assert not store.expire("nothing", 5)
    clock[0] += 5
    assert ("n" in store, store.get("a"), store.incr("n")) == (False, 1, 1)
    assert store.ttl("n") is None
    assert store.expire("a", None)
    clock[0] += 1000
    assert store.get_many(["a"]) == {"a": 1}
    store.set("gone", 1, ttl=1)
    clock[0] += 1
    assert (store.delete("gone"), store.set("gone", 2, nx=True), store.get("gone")) == (0, True, 2)


def test_the_store_is_bounded(store: Store, clock: list[float]) -> None:
    """What is over goes first, then what is old; what is new stays; large and small, for as long as one likes."""
    for number in range(200):
        store.set(f"over {number}", "x" * 1000, ttl=1)
    clock[0] += 10
    for number in range(600):
        store.set(f"old {number}", "x" * 1000)
        clock[0] += 1
    assert store.evicted == 0
    for number in range(600):
        store.set(f"new {number}", "x" * 1000)
        clock[0] += 1
    assert store.bytes <= SMALL
    kept = store.get_many([f"{age} {number}" for age in ("old", "new") for number in range(600)])
    new = sum(1 for key in kept if key.startswith("new"))
    assert 600 - new < (600 - (len(kept) - new)) / 4
    for number in range(40):
        store.set("large", "x" * (900_000 - number))
        store.set(f"small {number}", 1)
        assert store.get(f"small {number}") == 1
    assert store.bytes <= SMALL


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda store: store.get("x" * 501), KeyTooLong, "at most 500 bytes, got 501"),
        (lambda store: store.set("é" * 251, 1), KeyTooLong, "got 502"),
        (lambda store: store.get(""), ArgumentError, "empty"),
        (lambda store: store.get("\ud800"), ArgumentError, "UTF-8"),
        (lambda store: store.get(5), ArgumentTypeError, "expected text as a key, got int"),
        (lambda store: store.set("a", object()), MessageNotSerializable, "expected a value"),
        (lambda store: store.set("a", "x" * 1_100_000), MessageTooLarge, "at most 1048576"),
        (lambda store: store.set("a", 1, ttl=0), ArgumentTypeError, "above 0"),
        (lambda store: store.set("a", 1, ttl=float("inf")), ArgumentTypeError, "above 0"),
        (lambda store: store.incr("a", 1.5), ArgumentTypeError, "whole number to add"),
        (lambda store: store.set("t", "text") and store.incr("t"), ArgumentTypeError, "whole number to be kept"),
        (lambda store: store.set("m", 2**63 - 1) and store.incr("m"), ArgumentError, "64 bits"),
        (lambda store: store.incr("n", 2**63), ArgumentError, "64 bits"),
    ],
)
def test_bad_input(store: Store, call: Any, error: type[Exception], sentence: str) -> None:
    """A sentence, and nothing has happened."""
    with pytest.raises(error, match=sentence):
        call(store)
    assert "a" not in store


@pytest.mark.parametrize("size", ["many", "5", "-1", "²", "1" + "0" * 20, "9" * 5000])
def test_a_size_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    """Is refused by a sentence that says what is expected."""
    monkeypatch.setenv("NODECLUSTER_STORE_BYTES", size)
    with pytest.raises(SettingsError, match="NODECLUSTER_STORE_BYTES"):
        Store(lambda: LmdbEngine(lambda: str(folder))).get("a")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["set", "delete", "incr"]), st.integers(0, 30), st.integers(0, 3000))))
def test_what_is_counted_is_what_is_there(steps: list[tuple[str, int, int]]) -> None:
    """Bytes and entries, whatever was done; the same as a dict would have it while nothing is evicted."""
    path = Path("/dev/shm") / f"nodecluster-test-{os.getpid()}-counted"
    path.mkdir(mode=0o700, exist_ok=True)
    store = Store(lambda: LmdbEngine(lambda: str(path)))
    model: dict[str, Any] = {}
    try:
        store.clear()
        for verb, number, size in steps:
            key = f"{verb == 'incr'} {number}"
            if verb == "set":
                store.set(key, "x" * size)
                model[key] = "x" * size
            elif verb == "incr":
                model[key] = model.get(key, 0) + size
                assert store.incr(key, size) == model[key]
            else:
                assert store.delete(key) == (model.pop(key, None) is not None)
        assert store.get_many(list(model)) == model
        assert len(store) == store.engine.taken().entries == len(model)
        store.delete(*model)
        assert (len(store), store.engine.taken().entries, store.bytes) == (0, 0, 0)
    finally:
        store.leave()
        for one in path.iterdir():
            one.unlink()
        path.rmdir()


def test_a_signal_handler_that_writes_amid_a_write(store: Store) -> None:
    """Would wait for itself for ever: it is told so."""
    with pytest.raises(WouldBlock, match="signal handler"):
        store.update("a", lambda _: (store.incr("b"), None))
    assert (store.get("a"), store.get("b")) == (None, None)


def test_what_is_no_store(folder: Path) -> None:
    """A file of somebody else's is left alone; an entry of somebody else's is told of; no folder is no store."""
    (folder / "store").write_bytes(b"somebody else's" * 1000)
    with pytest.raises(StoreCorrupt, match="restart the server"):
        Store(lambda: LmdbEngine(lambda: str(folder))).get("a")
    assert (folder / "store").read_bytes().startswith(b"somebody")
    with pytest.raises(StoreUnavailable, match="expected to open"):
        Store(lambda: LmdbEngine(lambda: str(folder / "nowhere"))).get("a")


USES = {
    "len": len,
    "keys": lambda store: store.keys(),
    "clear": lambda store: store.clear(),
    "get": lambda store: store.get("a"),
    "get_many": lambda store: store.get_many(["a"]),
    "set": lambda store: store.set("a", 2),
    "incr": lambda store: store.incr("a"),
    "delete": lambda store: store.delete("a"),
}
"""What is asked of a file that is broken."""


@pytest.mark.parametrize("use", USES)
def test_a_file_that_is_overwritten_while_it_is_mapped(store: Store, folder: Path, use: str) -> None:
    """Whatever somebody has written over its pages: each use says so, and no process ends."""
    for number in range(100):
        store.set(f"{number}", "x" * 1000)
    path = folder / "store"
    with path.open("r+b") as file:
        file.seek(_META_BYTES)
        file.write(bytes(path.stat().st_size - _META_BYTES))
    with pytest.raises(StoreCorrupt, match="restart the server"):
        USES[use](store)


@pytest.mark.parametrize("use", ["len", "keys", "clear", "get"])
@pytest.mark.parametrize(
    ("found", "error"),
    [("CorruptedError", StoreCorrupt), ("PageNotFoundError", StoreCorrupt), ("DiskError", StoreFull)],
)
def test_a_file_that_breaks_while_it_is_open(
    store: Store, monkeypatch: pytest.MonkeyPatch, use: str, found: str, error: type[Exception]
) -> None:
    """Whatever is asked says so by an error of this package's."""
    store.set("a", 1)
    file = store.engine.file
    wrong = getattr(file._lmdb, found)("on purpose")

    def fail(**_: object) -> None:
        raise wrong

    broken = SimpleNamespace(begin=fail, open_db=lambda: None, close=file._environment.close)
    monkeypatch.setattr(file, "_environment", broken)
    with pytest.raises(error, match="on purpose"):
        USES[use](store)


def test_an_entry_of_somebody_elses(store: Store) -> None:
    """Says so, and can be replaced or deleted."""
    with store.engine.file._environment.begin(write=True) as transaction:
        transaction.put(key_of("a"), b"short")
        transaction.put(key_of("b"), b"\0" * 17 + b"\xc1")
    for key in ("a", "b"):
        with pytest.raises(StoreCorrupt):
            store.get(key)


def test_memory_that_is_full(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be evicted makes room; where that does not help, a sentence; with room again all is well."""
    lmdb = store.engine.file._lmdb
    store.set("a", 1)
    real = lmdb_file.Writing.put
    failures = [1]

    def put(writing: Any, *args: Any) -> None:
        if failures[0]:
            failures[0] -= 1
            raise lmdb.DiskError("No space left on device")
        real(writing, *args)

    monkeypatch.setattr(lmdb_file.Writing, "put", put)
    assert store.set("b", 2)
    failures[0] = 100
    with pytest.raises(StoreFull, match="expected room"):
        store.set("c", 3)
    failures[0] = 0
    assert store.get("c") is None
    assert store.set("c", 4)
    assert store.get("c") == 4


def test_without_lmdb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what to install."""
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'nodecluster-compat\[store\]'"):
        LmdbFile(str(folder))


def test_threads_that_use_it_first_at_the_same_time(tmp_path: Path) -> None:
    """One of them opens it; a second time in one process it could not be."""
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        store = Store(lambda folder=folder: LmdbEngine(lambda: str(folder)))
        begins = threading.Barrier(8)

        def count(store: Store = store, begins: threading.Barrier = begins) -> int:
            begins.wait()
            return store.incr("n")

        with ThreadPoolExecutor(8) as pool:
            assert sorted(one.result() for one in [pool.submit(count) for _ in range(8)]) == list(range(1, 9))
        store.leave()


def test_a_forked_process_opens_it_again(folder: Path, store: Store) -> None:
    """LMDB's must not be used over a fork."""
    store.set("a", 1)
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if store.incr("a") == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    deadline = time.monotonic() + 10
    assert store.get("a") == 2
    assert time.monotonic() < deadline
