"""Make keys of the store of the keys that libraries have, which may be of any length."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["fitting"]

_MOST_BYTES: Final = 400


def fitting(prefix: str, key: str) -> str:
    """Return a key that begins with ``prefix``, for a key of any length: one that is too long is a digest of itself."""
    name = key.encode("utf-8", "surrogatepass")
    if len(name) <= _MOST_BYTES:
        return prefix + name.decode("utf-8", "replace")
    return f"{prefix}#{blake2b(name, digest_size=32).hexdigest()}"
