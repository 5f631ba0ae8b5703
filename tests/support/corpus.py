"""Raw requests of every kind, and settings under which servers answer them, to be compared with the stock workers."""

from __future__ import annotations

from typing import Any

__all__ = ["CLOSE", "CORPUS", "GET", "MORE", "VARIANTS"]

GET = b"GET %s HTTP/1.1\r\nHost: example.test\r\n%s\r\n"
CLOSE = b"Connection: close\r\n"
LAST = GET % (b"/last", CLOSE)
POST = b"POST /p HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n"

CORPUS: dict[str, bytes] = {
    "get": LAST,
    "query and escapes": GET % (b"/a%20b/%C3%A9?x=1&y=%20", CLOSE),
    "head": b"HEAD / HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n",
    "options *": b"OPTIONS * HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n",
    "absolute form": GET % (b"http://example.test/abs?q", CLOSE),
    "http/1.0": b"GET /old HTTP/1.0\r\n\r\n",
    "http/1.0 keep-alive": b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + LAST,
    "pipelined": GET % (b"/1", b"") + GET % (b"/2", b"") + LAST,
    "keep-alive after a body": POST.replace(b"Connection: close\r\n", b"") + b"Content-Length: 3\r\n\r\nabc" + LAST,
    "body": POST + b"Content-Length: 5\r\n\r\nhello",
    "chunked body": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "expect 100": POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    "expect nonsense": POST + b"Expect: nonsense\r\nContent-Length: 2\r\n\r\nok",
    "stream": GET % (b"/stream", CLOSE),
    "stream keep-alive": GET % (b"/stream", b"") + LAST,
    "stream to http/1.0": b"GET /stream HTTP/1.0\r\n\r\n",
    "write and too much": GET % (b"/write", CLOSE),
    "file wrapper": GET % (b"/file", CLOSE),
    "early hints": GET % (b"/hints", CLOSE),
    "large": GET % (b"/large", CLOSE),
    "204": GET % (b"/empty", b"") + LAST,
    "304": GET % (b"/304", b"") + LAST,
    "app raises": GET % (b"/raise", CLOSE),
    "app sends a bad header": GET % (b"/badheader", CLOSE),
    "app returns text": GET % (b"/notbytes", CLOSE),
    "forwarded by a trusted peer": GET % (b"/", CLOSE + b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n"),
    "underscore in a header": GET % (b"/", CLOSE + b"X_Script_Name: /evil\r\n"),
    "repeated header": GET % (b"/", CLOSE + b"X-A: 1\r\nX-A: 2\r\n"),
    "cookie": GET % (b"/", CLOSE + b"Cookie: a=b; c=d\r\n"),
    "latin-1 header": GET % (b"/", CLOSE + b"X-L: \xe9\r\n"),
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bad method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "bad header": GET % (b"/", b"No colon here\r\n"),
    "space before colon": GET % (b"/", b"X-A : 1\r\n"),
    "obs-fold": GET % (b"/", b"X-A: 1\r\n 2\r\n"),
    "bare cr": GET % (b"/", b"X-A: 1\r2\r\n"),
    "nul in a header": GET % (b"/", b"X-A: 1\x002\r\n"),
    "line too long": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header too long": GET % (b"/", b"X-A: " + b"a" * 9000 + b"\r\n"),
    "too many headers": GET % (b"/", b"".join(b"X-%d: 1\r\n" % n for n in range(120))),
    "two content-lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunked": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "nothing": b"",
    "half a line": b"GET / HT",
}

VARIANTS: dict[str, dict[str, Any]] = {
    "lenient": {
        "permit_obsolete_folding": True,
        "strip_header_spaces": True,
        "permit_unconventional_http_method": True,
        "permit_unconventional_http_version": True,
        "casefold_http_method": True,
        "header_map": "dangerous",
    },
    "strict": {
        "header_map": "refuse",
        "limit_request_line": 50,
        "limit_request_fields": 3,
        "limit_request_field_size": 60,
        "keepalive": 0,
        "forwarded_allow_ips": "10.9.8.7",
        "sendfile": False,
    },
    "behind a proxy": {
        "proxy_protocol": True,
        "secure_scheme_headers": {"X-FORWARDED-PROTO": "https"},
        "forwarder_headers": "SCRIPT_NAME,X_SCRIPT_NAME",
    },
    "uwsgi": {"protocol": "uwsgi"},
    "http/2 without tls": {"http_protocols": "h2,h1", "http2_cleartext": "both"},
}
MORE: dict[str, bytes] = {
    "uwsgi request": b"\x00\x2a\x00\x00"
    + b"".join(
        len(part).to_bytes(2, "little") + part
        for pair in ((b"REQUEST_METHOD", b"GET"), (b"PATH_INFO", b"/u"))
        for part in pair
    ).ljust(42, b"\x00"),
    "proxy v1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\n" + LAST,
    "proxy v2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 4, 87, 0, 80]) + LAST,
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}
