"""Requests about whose end, or meaning, two servers in a row could disagree, each followed by another one.

What is right is RFC 9112's to say; here it matters only that an application and a client see what the stock worker
shows them.  Sources: the classes of CL.TE, TE.CL and TE.TE of the literature on request smuggling, RFC 9112 §2.2, §5.1,
§5.2, §6.1, §6.3, §7.1 and §11.2, and the advisories about gunicorn itself (CVE-2018-1000164, CVE-2024-1135,
CVE-2024-6827).
"""

from __future__ import annotations

from typing import Final

__all__ = ["SMUGGLING"]

_NEXT: Final = b"GET /next HTTP/1.1\r\nHost: next.test\r\nConnection: close\r\n\r\n"
_HIDDEN: Final = b"GET /hidden HTTP/1.1\r\nHost: hidden.test\r\n\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


def _post(fields: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST /p " + version + b"\r\nHost: example.test\r\n" + fields + b"\r\n" + body


def _get(fields: bytes = b"", target: bytes = b"/", line_end: bytes = b" HTTP/1.1\r\n") -> bytes:
    return b"GET " + target + line_end + b"Host: example.test\r\n" + fields + b"\r\n"


def _chunks(body: bytes) -> bytes:
    return _post(_CHUNKED, body)


_LENGTHS: Final = {
    "same twice": b"Content-Length: 3\r\nContent-Length: 3\r\n",
    "different twice": b"Content-Length: 3\r\nContent-Length: 4\r\n",
    "twice, one empty": b"Content-Length: 3\r\nContent-Length:\r\n",
    "list": b"Content-Length: 3, 3\r\n",
    "list that differs": b"Content-Length: 3, 4\r\n",
    "plus": b"Content-Length: +3\r\n",
    "minus": b"Content-Length: -3\r\n",
    "minus zero": b"Content-Length: -0\r\n",
    "hexadecimal": b"Content-Length: 0x3\r\n",
    "octal": b"Content-Length: 03\r\n",
    "exponent": b"Content-Length: 3e0\r\n",
    "fraction": b"Content-Length: 3.0\r\n",
    "underscore": b"Content-Length: 0_3\r\n",
    "space inside": b"Content-Length: 3 3\r\n",
    "spaces around": b"Content-Length:  \t3 \t\r\n",
    "vertical tab": b"Content-Length: \x0b3\r\n",
    "form feed": b"Content-Length: 3\x0c\r\n",
    "quoted": b'Content-Length: "3"\r\n',
    "empty": b"Content-Length:\r\n",
    "huge": b"Content-Length: " + b"9" * 400 + b"\r\n",
    "over 64 bits": b"Content-Length: 18446744073709551619\r\n",
    "superscript": b"Content-Length: \xb3\r\n",
    "name with underscore": b"Content_Length: 3\r\n",
    "name in capitals": b"CONTENT-LENGTH: 3\r\n",
    "space before the colon": b"Content-Length : 3\r\n",
    "tab before the colon": b"Content-Length\t: 3\r\n",
    "folded": b"Content-Length:\r\n 3\r\n",
    "nul": b"Content-Length: 3\0\r\n",
    "bare cr": b"Content-Length: 3\rX: 4\r\n",
    "bare lf": b"X: 1\nContent-Length: 3\r\n",
}

_CODINGS: Final = {
    "in capitals": b"TRANSFER-ENCODING: CHUNKED\r\n",
    "twice": _CHUNKED + _CHUNKED,
    "list": b"Transfer-Encoding: chunked, chunked\r\n",
    "then identity": b"Transfer-Encoding: chunked, identity\r\n",
    "identity, then": b"Transfer-Encoding: identity, chunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "gzip, then": b"Transfer-Encoding: gzip, chunked\r\n",
    "after gzip field": b"Transfer-Encoding: gzip\r\n" + _CHUNKED,
    "before gzip field": _CHUNKED + b"Transfer-Encoding: gzip\r\n",
    "unknown": b"Transfer-Encoding: xchunked\r\n",
    "parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "space before the colon": b"Transfer-Encoding : chunked\r\n",
    "space before the name": b" Transfer-Encoding: chunked\r\n",
    "tab in the value": b"Transfer-Encoding:\tchunked\r\n",
    "vertical tab in the value": b"Transfer-Encoding: \x0bchunked\r\n",
    "no space": b"Transfer-Encoding:chunked\r\n",
    "comma before": b"Transfer-Encoding: ,chunked\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "empty": b"Transfer-Encoding:\r\n",
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "behind a folded field": b"X: 1\r\n Transfer-Encoding: chunked\r\n",
    "behind a bare lf": b"X: 1\nTransfer-Encoding: chunked\r\n",
    "behind a bare cr": b"X: 1\rTransfer-Encoding: chunked\r\n",
    "name with underscore": b"Transfer_Encoding: chunked\r\n",
    "nul in the name": b"Transfer-Encoding\0: chunked\r\n",
    "nul in the value": b"Transfer-Encoding: chunked\0\r\n",
    "not ascii": b"Transfer-Encoding: chun\xebed\r\n",
    "kelvin": b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n",
}

_BODIES: Final = {
    "plain": b"3\r\nabc\r\n0\r\n\r\n",
    "extension": b"3;a=b\r\nabc\r\n0;c\r\n\r\n",
    "extension with a bare cr": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "extension with a bare lf": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "quoted extension": b'3;a="\r\n0\r\n\r\n"\r\nabc\r\n0\r\n\r\n',
    "long extension": b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n",
    "leading zeros": b"0000000003\r\nabc\r\n000\r\n\r\n",
    "capitals": b"A\r\n0123456789\r\n0\r\n\r\n",
    "space behind the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "tab behind the size": b"3\t\r\nabc\r\n0\r\n\r\n",
    "space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "hexadecimal prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "overflow": b"FFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
    "overflow to three": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "endless size": b"1" * 5000,
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "no hexadecimal": b"g\r\nabc\r\n0\r\n\r\n",
    "bare lf behind the size": b"3\nabc\r\n0\r\n\r\n",
    "bare cr behind the size": b"3\rabc\r\n0\r\n\r\n",
    "bare lf behind the data": b"3\r\nabc\n0\r\n\r\n",
    "nothing behind the data": b"3\r\nabc0\r\n\r\n",
    "too much data": b"3\r\nabcd\r\n0\r\n\r\n",
    "size that hides a request": b"2\r\nab\r\n0\r\n" + _HIDDEN,
    "trailer": b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    "trailer with a length": b"3\r\nabc\r\n0\r\nContent-Length: 50\r\n\r\n",
    "trailer that is broken": b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
    "end without the last line": b"3\r\nabc\r\n0\r\n",
    "cut": b"3\r\nab",
}

_FIELDS: Final = {
    "obs-fold": b"X-A: 1\r\n 2\r\n",
    "obs-fold with a tab": b"X-A: 1\r\n\t2\r\n",
    "fold before any field": b" X-A: 1\r\n",
    "bare cr": b"X-A: 1\r2\r\n",
    "bare cr at the end": b"X-A: 1\r\r\n",
    "bare lf": b"X-A: 1\n2: 3\r\n",
    "lf only": b"X-A: 1\nX-B: 2\n\nGET /hidden HTTP/1.1\r\n",
    "nul in a value": b"X-A: 1\x002\r\n",
    "nul in a name": b"X\0A: 1\r\n",
    "space in a name": b"X A: 1\r\n",
    "space before the colon": b"X-A : 1\r\n",
    "no colon": b"X-A 1\r\n",
    "no name": b": 1\r\n",
    "not ascii in a name": b"X-\xe9: 1\r\n",
    "not ascii in a value": b"X-A: \xc3\xa9\xff\r\n",
    "delete and controls": b"X-A: \x7f\x01\r\n",
    "brackets in a name": b"X(A): 1\r\n",
    "underscores": b"X_Forwarded_For: 6.6.6.6\r\nX_A: 1\r\n",
    "both spellings": b"X-Remote-User: good\r\nX_Remote_User: evil\r\n",
    "spoofed forwarding": b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n"
    b"X-Forwarded-Ssl: on\r\nForwarded: for=6.6.6.6;proto=https;host=evil.test\r\n",
    "spoofed path": b"Script-Name: /evil\r\nPath-Info: /evil\r\nX-Script-Name: /evil\r\n",
    "spoofed path, underscores": b"SCRIPT_NAME: /evil\r\nPATH_INFO: /evil\r\n",
    "second host": b"Host: evil.test\r\n",
    "proxy": b"Proxy: http://evil.test\r\n",
    "connection names the length": b"Connection: Content-Length\r\nContent-Length: 0\r\n",
    "close and keep-alive": b"Connection: keep-alive, close\r\n",
    "upgrade to http/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "long value": b"X-A: " + b"a" * 9000 + b"\r\n",
    "long name": b"X" * 9000 + b": 1\r\n",
    "many": b"".join(b"X-%d: 1\r\n" % number for number in range(120)),
}

_LINES: Final = {
    "absolute form": b"GET http://example.test/abs HTTP/1.1\r\n",
    "absolute form of another host": b"GET http://other.test/abs HTTP/1.1\r\n",
    "absolute form with a user": b"GET http://user:pw@example.test:99/abs HTTP/1.1\r\n",
    "absolute form of another scheme": b"GET gopher://example.test/ HTTP/1.1\r\n",
    "authority form": b"CONNECT example.test:443 HTTP/1.1\r\n",
    "authority form of another method": b"GET example.test:443 HTTP/1.1\r\n",
    "asterisk": b"GET * HTTP/1.1\r\n",
    "two slashes": b"GET //example.test/x HTTP/1.1\r\n",
    "dots": b"GET /a/../../b/./c HTTP/1.1\r\n",
    "escapes": b"GET /%2e%2e/%00%0d%0a%zz?%00 HTTP/1.1\r\n",
    "fragment": b"GET /a#b?c HTTP/1.1\r\n",
    "backslash": b"GET \\a\\b HTTP/1.1\r\n",
    "not ascii": b"GET /\xc3\xa9\xff HTTP/1.1\r\n",
    "controls in the target": b"GET /\x01\x7f HTTP/1.1\r\n",
    "nul in the target": b"GET /\0 HTTP/1.1\r\n",
    "no target": b"GET  HTTP/1.1\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n",
    "tab for a space": b"GET\t/\tHTTP/1.1\r\n",
    "two spaces": b"GET  /  HTTP/1.1\r\n",
    "space at the end": b"GET / HTTP/1.1 \r\n",
    "http/0.9": b"GET /\r\n",
    "http/0.9 and nothing more": b"GET / \r\n",
    "http/1.2": b"GET / HTTP/1.2\r\n",
    "http/2.0": b"GET / HTTP/2.0\r\n",
    "version in small letters": b"GET / http/1.1\r\n",
    "version with more digits": b"GET / HTTP/1.10\r\n",
    "version without a dot": b"GET / HTTP/11\r\n",
    "bare lf": b"GET / HTTP/1.1\n",
    "bare cr": b"GET / HTTP/1.1\r",
    "empty line before": b"\r\nGET / HTTP/1.1\r\n",
    "two empty lines before": b"\r\n\r\nGET / HTTP/1.1\r\n",
    "lf before": b"\nGET / HTTP/1.1\r\n",
    "method in small letters": b"get / HTTP/1.1\r\n",
    "method that is no token": b"G(T / HTTP/1.1\r\n",
    "long method": b"G" * 100 + b" / HTTP/1.1\r\n",
    "long target": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

_PAIRS: Final = {
    "cl.te": _post(b"Content-Length: 6\r\n" + _CHUNKED, b"0\r\n\r\nG"),
    "te.cl": _post(_CHUNKED + b"Content-Length: 4\r\n", b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
    "cl.0": _get(b"Content-Length: %d\r\n" % len(_HIDDEN)) + _HIDDEN,
    "length, no body": _post(b"Content-Length: 10\r\n", b"abc"),
    "http/1.0 chunked": _post(_CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", b"HTTP/1.0"),
    "http/1.0 chunked, kept alive": _post(_CHUNKED + b"Connection: keep-alive\r\n", b"0\r\n\r\n", b"HTTP/1.0"),
    "http/1.0 both": _post(b"Content-Length: 3\r\n" + _CHUNKED, b"0\r\n\r\n", b"HTTP/1.0"),
    "http/1.0, kept alive": _get(b"Connection: keep-alive\r\n", line_end=b" HTTP/1.0\r\n"),
    "expect with a length": _post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"),
    "expect without a body": _post(b"Expect: 100-continue\r\nContent-Length: 0\r\n"),
    "body of a get": _get(b"Content-Length: 3\r\n") + b"abc",
    "head with a body": b"HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
}

SMUGGLING: Final[dict[str, bytes]] = {
    name: request + _NEXT
    for name, request in {
        **{f"length: {name}": _post(fields, b"abc") for name, fields in _LENGTHS.items()},
        **{f"coding: {name}": _post(fields, _BODIES["plain"]) for name, fields in _CODINGS.items()},
        **{
            f"te.te: {name}": _post(b"Content-Length: 4\r\n" + fields, _BODIES["plain"])
            for name, fields in _CODINGS.items()
        },
        **{f"chunk: {name}": _chunks(body) for name, body in _BODIES.items()},
        **{f"field: {name}": _get(fields) for name, fields in _FIELDS.items()},
        **{f"line: {name}": line + b"Host: example.test\r\n\r\n" for name, line in _LINES.items()},
        **{f"pair: {name}": request for name, request in _PAIRS.items()},
    }.items()
}
"""Every request by what is odd about it; an ordinary one follows each, and asks for the end of the connection."""
