"""Forward what one worker has for others: the exchange, in the primary.

Workers join topics; a post goes to one other member of its topic, or to all others.  Whenever members come or go, all
members of the topic are told who they are now, in order with what is posted: so whoever asks all others knows from whom
an answer can still come.

    JOIN ──▶ MEMBERS to all members                       a worker's channel closes ──▶ MEMBERS to those that are left
    POST to W, a member ──▶ POSTED to W       POST to all, or to who is no member ──▶ POSTED to all others

A post for a worker that is gone goes to all others, because what it was for may have moved to one of them.

Nothing waits here.  A member that does not read has a bounded queue; what is beyond is dropped, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..base.log import Log
from ..errors import FrameError
from ..messages.exchange_payloads import decode_join, decode_post, encode_members, forwarded
from ..messages.frames import Frame

__all__ = ["Exchange"]

_MOST_TOPICS: Final = 64  # of one worker
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Bytes that may wait for a member which does not read."""


class Exchange:
    """Who takes part in which topic, and what is under way between them.

    Args:
        send: ``send(worker_id, frame, bound)`` queues a frame for a worker unless so many bytes wait already (``None``:
            however many wait); returns whether it did.
        log: told when a member reads too slowly.
    """

    def __init__(self, send: Callable[[int, bytes, int | None], bool], log: Log) -> None:
        self._send = send
        self._log = log
        self._members: dict[bytes, set[int]] = {}
        self._dropped: dict[int, int] = {}

    def members(self, topic: bytes) -> frozenset[int]:
        """Return the ids of the workers that take part in a topic."""
        return frozenset(self._members.get(topic, ()))

    def join(self, worker_id: int, frame: Frame) -> None:
        """A worker takes part in a topic.

        Raises:
            FrameError: it is no topic, or one too many.
        """
        topic = decode_join(frame.payload)
        if sum(worker_id in members for members in self._members.values()) >= _MOST_TOPICS:
            raise FrameError(f"a worker joins more than {_MOST_TOPICS} topics")
        self._members.setdefault(topic, set()).add(worker_id)
        self._tell_members(topic)

    def leave(self, worker_id: int) -> None:
        """A worker is gone; what it was not told any more is of no interest."""
        self._dropped.pop(worker_id, None)
        for topic, members in list(self._members.items()):
            if worker_id in members:
                members.discard(worker_id)
                self._tell_members(topic)
            if not members:
                del self._members[topic]

    def post(self, worker_id: int, frame: Frame) -> None:
        """Forward what a worker has posted.

        Raises:
            FrameError: it is no post, or of a topic in which the worker takes no part.
        """
        post = decode_post(frame.payload)
        members = self._members.get(post.topic, ())
        if worker_id not in members:
            raise FrameError(f"a worker posts to the topic {post.topic!r}, in which it takes no part")
        targets = (post.peer,) if post.peer in members else tuple(members)
        posted = forwarded(worker_id, frame.payload)
        for target in targets:
            if target != worker_id:
                self._forward(target, posted)

    def _forward(self, target: int, posted: bytes) -> None:
        if self._send(target, posted, MOST_WAITING_BYTES):
            if self._dropped:
                self._reads_again(target)
        else:
            self._drop(target)

    def _drop(self, target: int) -> None:
        if target not in self._dropped:
            self._log.warning(
                "Worker %s does not read what other workers post, and %s bytes wait for it: dropping what comes",
                target,
                MOST_WAITING_BYTES,
            )
        self._dropped[target] = self._dropped.get(target, 0) + 1

    def _reads_again(self, target: int) -> None:
        dropped = self._dropped.pop(target, 0)
        if dropped:
            self._log.warning("Worker %s reads again; %s posts of other workers were dropped", target, dropped)

    def _tell_members(self, topic: bytes) -> None:
        members = sorted(self._members[topic])
        told = encode_members(topic, members)
        for member in members:
            self._send(member, told, None)
