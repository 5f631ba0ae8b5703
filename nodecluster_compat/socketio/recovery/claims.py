"""Claim the session of a client that comes back, and give up that of one which has come back to another worker.

Exactly one attempt gets it, however many ask at once: two tabs with one name, or a client that tries again while its
first attempt is under way.  Whoever else asks begins anew.

    claim       who has this client?  One worker decides (see ``reservations``), the others say what they know of it
    missed      what has it missed?  Who decides says once more whether it is this attempt's
    given_up    an attempt has come to nothing: others may claim the session
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from ...errors import MessageNotSerializable
from ..questions import Answers
from ..shared import Clustered
from ..wire import Told
from .memory import Memory, Missed
from .offsets import NOTHING, Offset, decode_offset, encode_offset
from .reservations import Claim
from .sessions import Session

__all__ = ["CLAIM_SECONDS", "Arrival", "Claiming", "split_claim"]

CLAIM_SECONDS: Final = 2.0
"""How long other workers may take to say what a client had; then it begins anew."""

_RESERVED_MILLISECONDS: Final = 8_000  # longer than an attempt takes, whoever has to be asked again
_SETTLED_MILLISECONDS: Final = (
    2_000  # once it is there, until another attempt may have it from a client that seems alive
)


class Arrival(Struct, frozen=True):
    """A client that has come back.

    Attributes:
        claim: the attempt.
        session: that it had.
        offset: how far it had got.
        missed: what other workers say of what it missed.
    """

    claim: Claim
    session: Session
    offset: Offset
    missed: list[Missed]


class _Found(Struct, frozen=True):
    """What a worker says to a claim.

    Attributes:
        session: as it knows it.
        is_given: whether it decides, and gives it to this claim.
    """

    session: Session
    is_given: bool


def split_claim(auth: Any) -> tuple[str | None, object, Any]:  # noqa: ANN401 - of the application
    """Return the name of the session that a client asks for, its offset, and what is the application's of ``auth``."""
    if not isinstance(auth, dict) or not isinstance(auth.get("pid"), str):
        return None, None, auth
    rest = {name: value for name, value in auth.items() if name not in ("pid", "offset")}
    return auth["pid"], auth.get("offset"), rest or None


class Claiming(Clustered):
    """What a manager does about claims, its own and those of other workers; mixed into ``Recovering``."""

    _given_away: set[tuple[str, str]]

    @property
    def memory(self) -> Memory:
        """What is remembered in this process."""
        raise NotImplementedError

    def _current(self, namespace: str, sid: str) -> Session | None:
        raise NotImplementedError

    def _keep(self, session: Session) -> Session:
        raise NotImplementedError

    def _cannot_tell(self, error: Exception) -> None:
        raise NotImplementedError

    def _close_soon(self, eio_sid: str) -> None:
        raise NotImplementedError

    # --- claiming ------------------------------------------------------------------------------

    def _claim(self, pid: str, namespace: str) -> Claim:
        return Claim(pid, namespace, secrets.token_hex(8), self.memory.worker_id)

    def _knows_others(self) -> bool:
        """Whether this worker knows whom to ask; one that has just begun does not."""
        return self.members is not None or self.take_seat() is None

    def _asked_for_claim(self, pid: str) -> Collection[int] | None:
        """Return whom to ask for a session: the worker that has it, or all."""
        known = self.memory.sessions.get(pid, self.memory.clock())
        members = self.members or frozenset()
        if known is None or (known.home not in members and known.home != self.memory.worker_id):
            return self._asked_of_all()
        return (known.home,) if known.home in members else ()

    def _asked_of_all(self) -> Collection[int] | None:
        """Return whom all is asked of: a client is recovered within its host."""
        return self.own_members if self.spans_hosts else None

    def _question_of_claim(self, claim: Claim) -> Told:
        self._found_here(claim)  # a worker that decides for itself does so before others hear of it
        return {"what": "claim", "claim": structs.asdict(claim)}

    def _may_be_known_now(self, claim: Claim, asked: Collection[int] | None, answers: Answers) -> bool:
        """Return whether to ask again for a session that was not given.

        While a worker leaves, others say that it has what it no longer gives away.  And where this worker is behind, it
        has asked one that has not had the session for a while: it has heard of that before the answer.
        """
        return bool(answers.gone) or self._asked_for_claim(claim.pid) != asked

    def _newest(self, claim: Claim, answers: Answers) -> Session | None:
        """Return the session that was asked for, as the last who heard of it knows it; ``None`` if it was not given."""
        told = [one for one in answers.values.values() if one is not None]
        found = [*msgspec.convert(told, list[_Found]), *filter(None, [self._found_here(claim)])]
        if not any(one.is_given for one in found):
            if answers.missing:
                self._give_up(claim)
            return None
        return max((one.session for one in found), key=lambda session: session.version)

    def _question_of_missed(self, claim: Claim, session: Session, offset: Offset) -> Told:
        rooms = [session.sid, *session.rooms]
        names = {"sid": session.sid, "namespace": session.namespace, "rooms": rooms}
        return {"what": "missed", "offset": encode_offset(offset), "claim": structs.asdict(claim), **names}

    def _arrival(self, claim: Claim, session: Session, offset: Offset, answers: Answers) -> Arrival | None:
        values = answers.values.values()
        if answers.missing or answers.failures or None in values or self._is_anothers(claim, session):
            return None  # what those workers have sent would be lacking, or it is another's
        return Arrival(claim, session, offset, [msgspec.convert(one, Missed) for one in values])

    def _give_up(self, claim: Claim) -> None:
        """An attempt has come to nothing: the next claim of the session may have it."""
        self.memory.reservations.release(claim.pid, claim.by)
        self._tell(0, {"method": "given_up", "pid": claim.pid, "by": claim.by})

    def _has_arrived(self, claim: Claim) -> None:
        """The client is here; for a moment nobody takes it away, because whoever asks has asked at the same time."""
        now = self.memory.clock()
        self.memory.reservations.take(claim, now, now + _SETTLED_MILLISECONDS)

    def _is_open(self, eio_sid: str) -> bool:
        """Whether a client still waits for what has taken a while."""
        socket = self.server.eio.sockets.get(eio_sid)
        return socket is not None and not socket.closed

    # --- giving up -----------------------------------------------------------------------------

    def _found_here(self, claim: Claim) -> _Found | None:
        """Say what is known of a session, and give it to a claim if this worker decides.

        Returns:
            ``None`` where it is not known, or another worker has it, or another claim.
        """
        session = self.memory.sessions.get(claim.pid, self.memory.clock())
        if session is None or session.namespace != claim.namespace or session.home in (self.members or ()):
            return None
        if not self._decides(session):
            self._reserve(claim)
            return _Found(session, False)
        return _Found(self._given_up_by_client(session), True) if self._reserve(claim) else None

    def _decides(self, session: Session) -> bool:
        """Whether this worker says whose a session is: it has the client, or it is the oldest and nobody has it."""
        if session.home == self.memory.worker_id:
            return True
        return session.home not in (self.members or ()) and self.memory.worker_id < min(
            self.own_members, default=1 << 62
        )

    def _is_anothers(self, claim: Claim, session: Session) -> bool:
        """Say whether another claim has the session, and take it for this one otherwise.

        That is so where this worker decides by now: whoever gave the session to this claim is gone then.
        """
        return self._decides(session) and not self._reserve(claim)

    def _reserve(self, claim: Claim) -> bool:
        now = self.memory.clock()
        return self.memory.reservations.take(claim, now, now + _RESERVED_MILLISECONDS)

    def _given_up_by_client(self, session: Session) -> Session:
        """Return a session that nobody uses any more: a client knows before its worker that its connection is dead."""
        current = self._current(session.namespace, session.sid)
        if current is None:
            return session
        eio_sid = self.eio_sid_from_sid(session.sid, session.namespace)  # type: ignore[attr-defined]
        key = session.namespace, session.sid
        if key not in self._given_away:
            self._given_away.add(key)
            self._close_soon(eio_sid)
        return self._keep(structs.replace(current, left_at=self.memory.clock()))

    def _claimed(self, told: Told) -> Any:  # noqa: ANN401 - what JSON can hold
        """Another worker asks for a session; nothing is given up that cannot be sent."""
        claim = msgspec.convert(told["claim"], Claim)
        session = self.memory.sessions.get(claim.pid, self.memory.clock())
        if session is not None:
            current = self._current(session.namespace, session.sid) or session
            if not self._can_be_told(structs.asdict(current)):
                return None
        found = self._found_here(claim)
        return None if found is None else {"session": structs.asdict(found.session), "is_given": found.is_given}

    def _can_be_told(self, told: Told) -> bool:
        try:
            self._wire().encode(told)
        except MessageNotSerializable as error:
            self._cannot_tell(error)
            return False
        return True

    def _missed_here(self, told: Told) -> Any:  # noqa: ANN401 - as above
        """Say what a client has missed that another worker has claimed; what is for it goes there from now on."""
        claim = msgspec.convert(told["claim"], Claim)
        session = self.memory.sessions.get(claim.pid, self.memory.clock())
        is_reserved = self._reserve(claim)
        if session is not None and not is_reserved and self._decides(session):
            return None
        members = self.own_members  # nobody asks those of other hosts: who has heard them answers for them
        offset = decode_offset(told["offset"]) or NOTHING
        with self.memory.lock:  # what has a number by now is on its way: this answer goes behind it
            self.memory.has_moved(told["sid"], claim.to)
            missed = self.memory.missed(offset, told["sid"], told["namespace"], told["rooms"], members)
        return {**structs.asdict(missed), "packets": [structs.asdict(one) for one in missed.packets]}

    def told_given_up(self, _: int, told: Told) -> None:
        """An attempt to claim a session has come to nothing."""
        self.memory.reservations.release(told["pid"], told["by"])

    _acts: Mapping[str, Callable[[Any, int, Told], None]] = MappingProxyType(
        {**Clustered._acts, "given_up": told_given_up}
    )
    _facts: Mapping[str, Callable[[Any, Told], Any]] = MappingProxyType(
        {**Clustered._facts, "claim": _claimed, "missed": _missed_here}
    )
