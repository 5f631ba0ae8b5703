"""Requests and replies as frames."""

from __future__ import annotations

import pytest

from nodecluster_compat.errors import FrameError, MessageTooLarge
from nodecluster_compat.messages.frames import FrameDecoder, FrameKind
from nodecluster_compat.messages.request_payloads import decode_asked, decode_reply, encode_asked, encode_reply


def test_both_arrive_as_they_were_sent() -> None:
    """The number pairs them."""
    [asked, met, failed] = FrameDecoder().feed(
        encode_asked(7, {"a": [1]}) + encode_reply(7, True, None) + encode_reply(8, False, "no")
    )
    assert (asked.kind, met.kind) == (FrameKind.REQUEST, FrameKind.REPLY)
    assert decode_asked(asked.payload) == (7, {"a": [1]})
    assert (decode_reply(met.payload), decode_reply(failed.payload)) == ((7, True, None), (8, False, "no"))


@pytest.mark.parametrize("payload", [b"", b"1234567", b"12345678", b"12345678{"])
def test_what_is_no_request_is_refused(payload: bytes) -> None:
    """A worker may send anything."""
    with pytest.raises(FrameError):
        decode_asked(payload)


@pytest.mark.parametrize("payload", [b"", b"12345678", b"12345678\x02null", b"12345678\x01{"])
def test_what_is_no_reply_is_refused(payload: bytes) -> None:
    """A worker may send anything."""
    with pytest.raises(FrameError):
        decode_reply(payload)


def test_the_limit_holds_for_the_whole_payload() -> None:
    """The number counts, too."""
    assert len(encode_asked(1, "x" * 20, limit=30)) == 5 + 30
    with pytest.raises(MessageTooLarge):
        encode_asked(1, "x" * 21, limit=30)
    with pytest.raises(MessageTooLarge):
        encode_reply(1, True, "x" * 20, limit=30)
