"""Says what a request looked like when it arrived: method, environ, length and hash of the body."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

CHUNK_BYTES = 65536


def is_comparable(name: str, value: Any) -> bool:
    """Leave out objects: what remains can be compared between two servers."""
    return isinstance(value, str | int | bool | tuple) and not name.startswith("gunicorn.")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    digest, length = hashlib.sha256(), 0
    while chunk := environ["wsgi.input"].read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    answer = {
        "method": environ["REQUEST_METHOD"],
        "environ": {name: value for name, value in sorted(environ.items()) if is_comparable(name, value)},
        "keys": sorted(environ),
        "length": length,
        "sha256": digest.hexdigest(),
    }
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
