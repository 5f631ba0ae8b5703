"""Make the frame of a message, as a line sends it."""

from __future__ import annotations

from nodecluster_compat.messages.frames import MAX_MESSAGE_BYTES, FrameKind, encode_frame
from nodecluster_compat.messages.payloads import encode_payload
from nodecluster_compat.messages.serialization import JSON, Serializer


def encode_message(message: object, limit: int = MAX_MESSAGE_BYTES, serializer: Serializer = JSON) -> bytes:
    return encode_frame(FrameKind.MESSAGE, encode_payload(message, limit, serializer))
