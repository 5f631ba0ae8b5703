"""Bodies of known length: an application reads what gunicorn would give it, however it came and is asked for."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from typing import Any

import gunicorn
import pytest
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from nodecluster_compat._gunicorn.requests.body_reader import BodyReader, HeldReader, KnownBody
from nodecluster_compat.base.native import in_force

HELD: list[Any] = [HeldReader] if in_force().module is None else [HeldReader, in_force().module.HeldReader]
KIB = 1024
SIZES = (0, 1, 700, 8 * KIB, 16 * KIB, 64 * KIB, 3000 * KIB, -1, None)


class Pieces:
    """A socket whose next bytes come in given pieces, and an exception where one stands between them."""

    def __init__(self, pieces: list[bytes | Exception]) -> None:
        self.pieces = pieces
        self.asked: list[int] = []

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        if piece[size:]:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


def body_of(
    reader: type[LengthReader], pieces: list[bytes | Exception], length: int, kind: type[Body] = KnownBody
) -> tuple[Body, Any, Pieces]:
    """A body, the unreader under it, and the socket under that; a head of 5 bytes was read from it."""
    source = Pieces([b"head\n", *pieces])
    unreader = SocketUnreader(source)
    assert unreader.read(5) == b"head\n"
    return kind(reader(unreader, length)), unreader, source


@pytest.mark.parametrize("seed", range(60))
def test_reads_are_gunicorns(seed: int) -> None:
    """Any calls in any order, on a body that is whole, too short, or followed by a next request."""
    choice = random.Random(seed)
    sent = choice.randbytes(choice.choice((10, 5000, 40 * KIB, 900 * KIB)))
    length = len(sent) + choice.choice((0, 0, -min(9, len(sent)), 70_000))
    cuts = sorted(choice.randrange(len(sent)) for _ in range(choice.randrange(12)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True) if start < end]
    calls = [(choice.choice(("read", "read", "readline")), choice.choice(SIZES)) for _ in range(40)]
    results = []
    for kind, reader in ((Body, LengthReader), (Body, BodyReader), (KnownBody, BodyReader)):
        body, unreader, _ = body_of(reader, list(pieces), length, kind)
        said = [getattr(body, name)(size) for name, size in calls]
        results.append((said, body.read(), unreader.read(1 << 20)))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("reader", HELD)
@pytest.mark.parametrize("seed", range(20))
def test_body_that_is_here_is_read_as_gunicorns(reader: Any, seed: int) -> None:
    """Any calls in any order."""
    choice = random.Random(seed)
    sent = choice.randbytes(choice.choice((1, 10, 5000, 60 * KIB)))
    calls = [(choice.choice(("read", "readline", "readlines")), choice.choice(SIZES[:5])) for _ in range(20)]
    calls += [("read", None), ("read", 1)]
    theirs, _, _ = body_of(LengthReader, [sent], len(sent), Body)
    ours = KnownBody(reader(sent))
    for name, size in calls:
        assert getattr(ours, name)(size) == getattr(theirs, name)(size)
        assert ours.reader.length == theirs.reader.length


@pytest.mark.parametrize("reader", HELD)
def test_reader_of_a_body_that_is_here_asks_for_sizes(reader: Any) -> None:
    """As gunicorn's, whose words it has."""
    one, gunicorns = reader(b"body"), LengthReader(None, 4)
    for size in ("1", None, 1.0, -1, -(10**30)):
        with pytest.raises((TypeError, ValueError)) as theirs:
            gunicorns.read(size)
        with pytest.raises(theirs.type, match=str(theirs.value)):
            one.read(size)
    assert (one.read(True), one.read(0), one.length, one.read(10**30), one.read(1)) == (b"b", b"", 3, b"ody", b"")
    with pytest.raises(TypeError):
        reader()
    assert reader(b"whole").read(5) == b"whole"


@pytest.mark.skipif(gunicorn.version_info < (27,), reason="an older Body asks its reader for 1 KiB at a time")
def test_large_pieces_are_received_as_they_are_asked_for() -> None:
    """Nothing is read ahead, and nothing more than once."""
    body, unreader, source = body_of(BodyReader, [b"x" * (200 * KIB)], 200 * KIB)
    assert len(body.read(64 * KIB)) == 64 * KIB
    assert source.asked[1:] == [64 * KIB]
    assert unreader.buf.getvalue() == b""


def test_never_reads_beyond_the_body() -> None:
    """What follows belongs to the next request."""
    body, unreader, _ = body_of(BodyReader, [b"x" * (30 * KIB) + b"GET /next"], 30 * KIB)
    assert body.read() == b"x" * (30 * KIB)
    assert unreader.read() == b"GET /next"


def test_what_came_before_a_failure_is_not_lost() -> None:
    """An application that ran into a time-out of its own may read again."""
    body, _, _ = body_of(BodyReader, [b"a" * (10 * KIB), TimeoutError(), b"b" * (10 * KIB)], 20 * KIB)
    with pytest.raises(TimeoutError):
        body.read(20 * KIB)
    assert getattr(body, "failed", True)
    assert body.read(20 * KIB) == b"a" * (10 * KIB) + b"b" * (10 * KIB)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_client_that_leaves_amid_its_body(pair: tuple[socket.socket, socket.socket]) -> None:
    """What has come is all there is."""
    ours, theirs = pair
    theirs.sendall(b"x" * (20 * KIB))
    theirs.close()
    body = KnownBody(BodyReader(SocketUnreader(ours), 64 * KIB))
    assert body.read(64 * KIB) == b"x" * (20 * KIB)
    assert body.read(64 * KIB) == b""
