"""Keep entries in a file in memory that all processes of a cluster map: LMDB.

Reading takes no lock and no system call; one process writes at a time, by a lock that the next one gets although its
holder was killed, and what that had begun to write is as if it had not.  So whatever ends a process, a count is exact.

The file is bounded.  What is written beyond evicts: of a few entries that lie at a random place those whose time is
over, then those that were written first, until there is room again (Redis' way, which keeps no order of all entries).

Rejected: writing through the map, which is three times as fast and ends the process by SIGBUS where memory is full.
LMDB's table of readers is written so; all of its memory is there before it is mapped.
"""

from __future__ import annotations

import os
import struct
import time
from _thread import get_ident
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from random import random
from typing import Any, Final, TypeVar

from ..base.loop import original
from ..errors import StoreCorrupt, StoreFull, StoreUnavailable, WouldBlock
from .entries import StoreEntry, cost_of, decode_entry, encode_entry, is_data_over

__all__ = ["DEFAULT_BYTES", "LmdbFile"]

DEFAULT_BYTES: Final = 64 * 1024 * 1024

_NAME: Final = "store"
_BLOCK_BYTES: Final = 512  # of stat(2)
_MARGIN_BYTES: Final = 16 * 1024 * 1024
_MOST_READERS: Final = 2048
_READERS_BYTES: Final = 64 * _MOST_READERS + 8192
_META: Final = b"#"
_COUNTS: Final = struct.Struct("<QQQ")
_LEAST_KEY: Final = 5
_SAMPLE: Final = 16
_VICTIMS: Final = 4
_ATTEMPTS: Final = 4
_SHARE: Final = 0.1

_DURING_WRITE: Final = (
    "expected no use of the store during a write of this thread: in a step of update(), or a signal handler"
)
_SWITCHED: Final = (
    "expected a step of the store's update() to compute and nothing else: one that is under way in this thread has let "
    "another greenlet run, whose use of the store is refused"
)

Result = TypeVar("Result")


class Writing:
    """What happens to the file in one step: all of it, or nothing."""

    def __init__(self, transaction: Any, now: float) -> None:  # noqa: ANN401 - LMDB has no type hints
        self.now = now
        self._transaction = transaction
        counts = transaction.get(_META)
        self._bytes, self._entries, self._evicted = (0, 0, 0) if counts is None else _COUNTS.unpack(counts)
        self._before = self._bytes, self._entries, self._evicted

    def get(self, key: bytes) -> StoreEntry | None:
        """Return what is kept, if its time is not over."""
        data = self._transaction.get(key)
        entry = None if data is None else decode_entry(data)
        return None if entry is None or entry.is_over(self.now) else entry

    def put(self, key: bytes, value: int | bytes, end: float) -> None:
        """Keep a value until ``end``, 0 for ever."""
        data = encode_entry(StoreEntry(end, self.now, value))
        old = self._transaction.get(key)
        self._transaction.put(key, data)
        self._bytes += cost_of(key, data) - (0 if old is None else cost_of(key, old))
        self._entries += old is None

    def delete(self, key: bytes) -> None:
        """Keep it no longer."""
        old = self._transaction.get(key)
        if old is not None:
            self._transaction.delete(key)
            self._bytes -= cost_of(key, old)
            self._entries -= 1

    def evict(self, most_bytes: float, spared: bytes | None) -> None:
        """Make room until no more than so many bytes are taken, by anything but ``spared``."""
        while self._bytes > most_bytes and self._entries > (spared is not None):
            for key in self._victims(spared):
                self.delete(key)
                self._evicted += 1

    def _victims(self, spared: bytes | None) -> list[bytes]:
        cursor = self._transaction.cursor()
        found: list[tuple[bool, float, bytes]] = []
        cursor.set_range(struct.pack(">I", int(random() * 2**32)))  # noqa: S311 - no secret
        for _ in range(2 * _SAMPLE):
            key = cursor.key()
            if len(key) >= _LEAST_KEY and key != spared:
                entry = decode_entry(cursor.value())
                found.append((not entry.is_over(self.now), entry.written, key))
            if len(found) >= _SAMPLE or not (cursor.next() or cursor.first()):
                break
        return [key for _, _, key in sorted(set(found))[:_VICTIMS]]

    def settle(self) -> None:
        """Before all of it happens: note what is taken."""
        counts = self._bytes, self._entries, self._evicted
        if counts != self._before:
            self._transaction.put(_META, _COUNTS.pack(*counts))


class LmdbFile:
    """The file of one cluster, as one process has it.

    Args:
        folder: where it is, or will be.
        most_bytes: what it may keep.

    Attributes:
        most_bytes: what it may keep.
        paths: of its two files.
        pid: of the process that has opened it.

    Raises:
        StoreUnavailable: LMDB is not installed, or the file cannot be opened.
        StoreCorrupt: it is no file of LMDB's.
    """

    def __init__(self, folder: str, most_bytes: int = DEFAULT_BYTES) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise StoreUnavailable(
                "expected lmdb, which is not installed: pip install 'nodecluster-compat[store]'"
            ) from error
        self.most_bytes = most_bytes
        self.pid = os.getpid()
        self._lmdb = lmdb
        self._thread_ident: Callable[[], int] = original("_thread", "get_ident")  # gevent's names greenlets
        self._writers: dict[int, int] = {}
        path = os.path.join(folder, _NAME)
        self.paths = (path, f"{path}-lock")
        self._environment = self._open(path)

    def _open(self, path: str) -> Any:  # noqa: ANN401 - LMDB has no type hints
        try:
            _allocate(self.paths[1], _READERS_BYTES)
            environment = self._lmdb.open(
                path,
                map_size=2 * self.most_bytes + _MARGIN_BYTES,
                subdir=False,
                mode=0o600,
                sync=False,
                metasync=False,
                meminit=False,
                max_readers=_MOST_READERS,
            )
            environment.reader_check()
        except (self._lmdb.InvalidError, self._lmdb.CorruptedError, self._lmdb.VersionMismatchError) as error:
            raise StoreCorrupt(
                f"expected the cluster's store in {path}, found something else ({error}): restart the server"
            ) from error
        except (self._lmdb.Error, OSError) as error:
            raise StoreUnavailable(f"expected to open the cluster's store {path}: {error}") from error
        return environment

    def close(self) -> None:
        """Let go of the file."""
        self._environment.close()

    # --- reading -------------------------------------------------------------------------------

    def get(self, key: bytes) -> StoreEntry | None:
        """Return what is kept, if its time is not over."""
        with self._telling(), self._environment.begin() as transaction:
            data = transaction.get(key)
        entry = None if data is None else decode_entry(data)
        return None if entry is None or entry.is_over(time.monotonic()) else entry

    def get_many(self, keys: Iterable[bytes]) -> list[StoreEntry | None]:
        """Return what is kept under each key, at one moment."""
        now = time.monotonic()
        with self._telling(), self._environment.begin() as transaction:
            found = [transaction.get(key) for key in keys]
        entries = [None if data is None else decode_entry(data) for data in found]
        return [None if entry is None or entry.is_over(now) else entry for entry in entries]

    def counts(self) -> tuple[int, int, int]:
        """Return how many bytes are taken, by how many entries, and how many were evicted."""
        with self._telling(), self._environment.begin() as transaction:
            counts = transaction.get(_META)
        taken: tuple[int, int, int] = (0, 0, 0) if counts is None else _COUNTS.unpack(counts)
        return taken

    def keys_at(self, at: float = 0.0) -> list[bytes]:
        """Return every key, as they are at one moment, but of those whose time is over by then."""
        with self._telling(), self._environment.begin(buffers=True) as transaction:
            entries = transaction.cursor()
            return [bytes(key) for key, data in entries if len(key) >= _LEAST_KEY and not is_data_over(data, at)]

    # --- writing -------------------------------------------------------------------------------

    def write(self, step: Callable[[Writing], Result], spared: bytes | None = None) -> Result:
        """Do something to the file in one step, alone in the cluster; evict what there is no room for.

        Args:
            step: called once, or again where there was no room; it must not wait for anything.
            spared: the key that is not evicted for itself.

        Raises:
            StoreFull: there is no room, whatever is evicted.
            WouldBlock: this thread writes already: this is a step, or a signal handler that has interrupted it.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._write_once(step, spared)
            except (self._lmdb.MapFullError, self._lmdb.DiskError, self._lmdb.TxnFullError):
                self._environment.reader_check()
                self._make_room(attempt)
            except self._lmdb.Error as error:
                raise self._meant(error) from error
        raise StoreFull(f"expected room in the store ({self.most_bytes} bytes), or in the memory where it lies")

    def clear(self) -> None:
        """Keep nothing.

        Raises:
            StoreFull: there is no room to write that.
        """
        with self._telling():
            main = self._environment.open_db()
            with self._alone(), self._environment.begin(write=True) as transaction:
                transaction.drop(main, delete=False)

    def _write_once(self, step: Callable[[Writing], Result], spared: bytes | None) -> Result:
        with self._alone(), self._environment.begin(write=True) as transaction:
            writing = Writing(transaction, time.monotonic())
            result = step(writing)
            writing.evict(self.most_bytes, spared)
            writing.settle()
            return result

    def _make_room(self, attempt: int) -> None:
        """Evict a tenth, then more: without room for the copies that writing needs, little at a time."""
        taken, _, _ = self.counts()
        share = _SHARE * (attempt + 1)
        try:
            with self._alone(), self._environment.begin(write=True) as transaction:
                writing = Writing(transaction, time.monotonic())
                writing.evict(taken * (1 - share), None)
                writing.settle()
        except (self._lmdb.MapFullError, self._lmdb.DiskError, self._lmdb.TxnFullError) as error:
            raise StoreFull("expected room in the memory where the store lies, found none even to evict") from error

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say by our own errors what LMDB finds wrong."""
        try:
            yield
        except self._lmdb.Error as error:
            raise self._meant(error) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        thread = self._thread_ident()
        if thread in self._writers:
            raise WouldBlock(_DURING_WRITE if self._writers[thread] == get_ident() else _SWITCHED)
        self._writers[thread] = get_ident()
        try:
            yield
        finally:
            self._writers.pop(thread, None)

    def _meant(self, error: Exception) -> Exception:
        if isinstance(error, self._lmdb.BadValsizeError):
            return StoreFull(f"a value or a key is larger than LMDB takes: {error}")
        if isinstance(error, self._lmdb.MapFullError | self._lmdb.DiskError | self._lmdb.TxnFullError):
            return StoreFull(f"expected room in the memory where the store lies: {error}")
        return StoreCorrupt(f"expected to use the cluster's store: {error}; restart the server")


def _allocate(path: str, size: int) -> None:
    """Let a file have so much memory, unless it has: never where this process has it open, which closing would unlock.

    Raises:
        OSError: there is no room.
    """
    with suppress(FileNotFoundError):
        if os.stat(path).st_blocks * _BLOCK_BYTES >= size:
            return
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
