"""Take part in groups: what this worker posts to the other members, and what they post to it.

Callbacks run where frames are read, with the runtime's lock held, and must neither wait nor run code of the user's:
they put posts into a queue.  The reader of that queue says what it took (:meth:`Group.took`), because posts that were
read and not taken are bounded: beyond the bound, reading pauses, and the primary holds the rest.  So a group loses
nothing to a handler that is slow for a while; a topic of the bus does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from ..errors import ArgumentError, ClusterError, MessageTooLarge, NotInCluster, WouldBlock
from ..messages.channel import SendCallback
from ..messages.frames import HEADER
from .group_desk import ALL_OTHERS, MOST_GROUPS, GroupMembers, GroupPost, encode_post
from .sides import running
from .topics import checked_topic
from .wire import NO_RETURN, encode, encode_call

if TYPE_CHECKING:
    from ..roles.this_worker import ClusterWorker
    from ..roles.worker_runtime import Runtime
    from .sides import Around
    from .verbs import Caller, Returning, Verbs

__all__ = ["Group", "Groups", "Posted"]

_MOST_WAITING: Final = 4096  # posts that have been read and not been taken; then reading pauses
_MOST_BYTES: Final = 4 * 1024 * 1024
_IDS: Final = range(2**32)
_GROWTH: Final = 8  # bytes by which the sender's id may be longer than that of whom it is for


class Posted:
    """What was posted while much waited already.  It may be written in one thread while another begins to wait."""

    def __init__(self) -> None:
        self._is_written = False
        self._done: Callable[[], None] | None = None

    def written(self, _: object) -> None:
        """Note that it is written, or lost."""
        self._is_written = True
        if self._done is not None:
            self._done()

    def call_when_written(self, done: Callable[[], None]) -> None:
        """Call ``done()`` then: at once where that is now, and twice where it is just happening."""
        self._done = done
        if self._is_written:
            done()


class Group:
    """This worker's part in one group.

    Args:
        groups: of this process.
        member: this worker.
        name: of the group.
        on_post: called with the sender's id and the body.
        on_members: called when members have come or gone.

    Attributes:
        name: of the group.
        members: the ids of the other members, as far as this worker has been told.
    """

    def __init__(
        self,
        groups: Groups,
        member: ClusterWorker,
        name: str,
        on_post: Callable[[int, bytes], None],
        on_members: Callable[[frozenset[int]], None],
    ) -> None:
        self.name = name
        self.members: frozenset[int] = frozenset()
        self.on_post = on_post
        self.on_members = on_members
        self._groups = groups
        self._member = member

    @property
    def runtime(self) -> Runtime:
        """The kind of worker that it is.

        Raises:
            NotInCluster: it does not run yet.
        """
        return running(self._member)

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while callbacks run."""
        return nullcontext() if self._member.runtime is None else self._member.runtime.lock

    def post(self, body: bytes, target: int = ALL_OTHERS) -> None:
        """Post to one other member, or to all; where much waits already the caller waits, if it may, until it is sent.

        Args:
            body: any bytes.
            target: the id of a member; one that is gone, and 0, stand for all others.

        Raises:
            MessageTooLarge: nothing was sent.
            ArgumentError: no worker has such an id.
        """
        self.wait_for(self.begin_post(body, target))

    async def post_async(self, body: bytes, target: int = ALL_OTHERS) -> None:
        """As :meth:`post`, for tasks."""
        await self.wait_for_async(self.begin_post(body, target))

    def begin_post(self, body: bytes, target: int = ALL_OTHERS) -> Posted | None:
        """As :meth:`post`, without waiting: for callers that hold a lock.

        Returns:
            What to wait for then; ``None`` where nobody has to.
        """
        frame = self._frame(body, target)
        if self._is_free:
            self._send(frame, None)
            return None
        posted = Posted()
        self._send(frame, posted.written)
        return posted

    def wait_for(self, posted: Posted | None) -> None:
        """Wait until something is written, if the caller may wait."""
        if posted is not None:
            with suppress(WouldBlock):
                self.runtime.wait(posted.call_when_written)

    async def wait_for_async(self, posted: Posted | None) -> None:
        """As :meth:`wait_for`, for tasks."""
        if posted is not None:
            await self.runtime.waiting(posted.call_when_written)

    @property
    def _is_free(self) -> bool:
        return self._member.runtime is None or not self._member.is_pressed

    def _frame(self, body: bytes, target: int) -> bytes:
        if target not in _IDS:
            raise ArgumentError(f"expected the id of a worker, got {target}")
        limit = self._member.max_message_bytes
        frame = encode_call(NO_RETURN, "post", encode_post(GroupPost(target, self.name, body)))
        size = len(frame) - HEADER.size + _GROWTH
        if size > limit:
            raise MessageTooLarge(f"expected at most {limit} bytes (max_message_bytes) once encoded, got {size}")
        return frame

    def _send(self, frame: bytes, callback: SendCallback | None) -> None:
        self._member.post_frame(frame, callback or partial(_report, self._groups))

    def took(self, body: bytes) -> None:
        """A post that was told has been dealt with."""
        with self.lock:
            self._groups.took(len(body))


class Groups:
    """The groups of this process.

    Args:
        sharing: of this process.
        verbs: what the exchange can ask of it.
    """

    def __init__(self, sharing: Around, verbs: Verbs) -> None:
        self._sharing = sharing
        self._by_name: dict[str, Group] = {}
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_paused = False
        verbs.on("post", GroupPost, self._posted)
        verbs.on("members", GroupMembers, self._told_members)

    def join(
        self, name: str, on_post: Callable[[int, bytes], None], on_members: Callable[[frozenset[int]], None]
    ) -> Group:
        """Take part in a group, until this process ends.

        Args:
            name: of the group, 1 to 255 bytes.
            on_post: called with the id of the sender and the body of what other members post.
            on_members: called with the ids of the other members, when they change.

        Raises:
            ArgumentError: somebody in this worker takes part already, in this one or in 64 others; the name is none.
            NotInCluster: this process is no worker.
        """
        member = self._sharing.member
        if member is None:
            raise NotInCluster("expected a worker: other processes take part in no group")
        group = Group(self, member, checked_topic(name, "the name of a group"), on_post, on_members)
        with group.lock:
            if name in self._by_name:
                raise ArgumentError(f"expected a group in which this worker takes no part yet, got {name!r}")
            if len(self._by_name) >= MOST_GROUPS:
                raise ArgumentError(f"expected no more than {MOST_GROUPS} groups in one worker, got {name!r}")
            self._by_name[name] = group
            self._sharing.side.call("join", encode(name), None)
        return group

    def abandon(self) -> None:
        """In a forked child: it takes part in nothing."""
        self._by_name.clear()
        self._waiting = self._waiting_bytes = 0
        self._is_paused = False

    def took(self, size: int) -> None:
        """A post of that many bytes was dealt with; called with the lock."""
        member = self._sharing.member
        self._waiting -= 1
        self._waiting_bytes -= size
        if self._is_paused and not self._waiting and member is not None:
            self._is_paused = False
            member.resume_reading(self)

    def report(self, error: ClusterError) -> None:
        """Say what became of a post that nobody waits for."""
        self._sharing.log.error("What this worker posted to others was not sent: %s", error)

    # --- what the exchange tells ---------------------------------------------------------------

    def _posted(self, _: Caller, post: GroupPost, __: Returning) -> None:
        group, member = self._by_name.get(post.group), self._sharing.member
        if group is None or member is None:
            return
        self._waiting += 1
        self._waiting_bytes += len(post.body)
        group.on_post(post.peer, post.body)
        if not self._is_paused and (self._waiting >= _MOST_WAITING or self._waiting_bytes >= _MOST_BYTES):
            self._is_paused = True
            member.pause_reading(self)

    def _told_members(self, _: Caller, told: GroupMembers, __: Returning) -> None:
        group, member = self._by_name.get(told.group), self._sharing.member
        if group is not None and member is not None:
            group.members = frozenset(told.members) - {member.id}
            group.on_members(group.members)


def _report(groups: Groups, error: ClusterError | None) -> None:
    if error is not None and error.code is None:  # not for a channel that is closed: this worker ends
        groups.report(error)
