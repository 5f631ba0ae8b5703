"""Make keys of the store of the keys that libraries have, which may be of any length."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["fitting", "prefix_of"]

_MOST_BYTES: Final = 400
_MOST_NAME_BYTES: Final = 64


def prefix_of(library: str, name: str) -> str:
    """Return what the keys of one cache begin with: no cache's begins another's, whatever their names, or is long."""
    plain = name.replace("%", "%25").replace(":", "%3A")
    if len(plain.encode("utf-8", "surrogatepass")) > _MOST_NAME_BYTES:
        plain = f"#{blake2b(plain.encode('utf-8', 'surrogatepass'), digest_size=24).hexdigest()}"
    return f"{library}:{plain}:"


def fitting(prefix: str, key: str) -> str:
    """Return a key that begins with ``prefix``: one that is too long, or is no Unicode, is a digest of itself."""
    name = key.encode("utf-8", "surrogatepass")
    if len(name) > _MOST_BYTES:
        return _digest(prefix, name)
    try:
        return prefix + name.decode()
    except UnicodeDecodeError:
        return _digest(prefix, name)


def _digest(prefix: str, name: bytes) -> str:
    return f"{prefix}#{blake2b(name, digest_size=32).hexdigest()}"
