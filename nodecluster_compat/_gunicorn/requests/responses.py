"""Send a response: gunicorn's, whose head and first piece of body leave in one ``send``.

Theory of operation
-------------------
:class:`OneSendResponse` (:mod:`one_send`) does what gunicorn's response does, in its words.

:class:`CleanResponse` answers clean requests.  Of a *plain* answer it knows what gunicorn would say, because gunicorn
has said it before: which names of headers it passes on and which statuses it takes are learnt from answers that its
own ``start_response`` has accepted, and the lines that it puts in front are kept while their ``Date`` is right.  An
answer is plain when its status and all its names are known and its values are printable ASCII.  Every other one, and
any second ``start_response``, goes through gunicorn's methods, before anything was changed here.

What is learnt is bounded: an application that makes up names or statuses is answered by gunicorn's methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response

from ...machine.forked_child import end_if_child
from ...runtime.client_gone import KEY, ClientGone, client_watch
from .one_send import OneSendResponse
from .own_variables import own_variables

if TYPE_CHECKING:
    from ..gunicorn_types import Headers, PlainRequest, Settings
    from .metering import MeteredServer

__all__ = ["CleanResponse", "with_one_send"]

_MOST_LEARNT: Final = 1024
_LONGEST_LEARNT: Final = 128
_MOST_DIGITS: Final = 18
_NO_BODY: Final = (204, 304)


def with_one_send(application: Callable[..., Iterable[bytes]], server: MeteredServer) -> Callable[..., Iterable[bytes]]:
    """Return ``application``, answered through :class:`OneSendResponse` on behalf of ``server``.

    gunicorn makes the response and passes its ``start_response`` to the application; before 26.2 there is no
    other place to choose its class.  HTTP/2 responses are of another class and stay what they are.
    """
    ours = own_variables()

    def call(environ: dict[str, Any], start_response: MethodType) -> Iterable[bytes]:
        response: Any = start_response.__self__
        if type(response) is not CleanResponse:  # whose environ has it of its connection
            environ.update(ours)
            if type(response) is Response:
                response.__class__ = OneSendResponse
        response.server = server
        noted = server.metering.responses
        if noted and response.sock in noted:
            noted[response.sock] = response
        raised = getattr(response, "raised", None)
        if raised is not None:
            response.raised = None
            raise raised
        gone = environ[KEY] = ClientGone(response)
        try:
            body = application(environ, start_response)
        except BaseException as error:
            end_if_child(error)
            raise
        end_if_child()
        if type(body) is not list:
            response.stream = gone
            client_watch.add_stream(gone)
        return body

    return call


class CleanResponse(OneSendResponse):
    """The response to a clean request."""

    # What gunicorn's has from the beginning, as long as nothing has changed it.
    status: Any = None
    status_code: Any
    chunked = False
    must_close = False
    headers_sent = False
    response_length: int | None = None
    sent = 0
    upgrade = False
    _omits_body = False
    _omits_body_warned = False

    is_last: bool | None = None  # of its connection, as its head says; ``None``: nobody has asked yet
    raised: BaseException | None = None  # by whoever served it in the loop: gunicorn is to judge it
    _plain: bytes | None = None  # the fields of a plain answer, as they are sent
    _statuses: ClassVar[dict[str, int]] = {}
    _names: ClassVar[dict[str, bool]] = {}  # whether it is Content-Length
    _lines: ClassVar[dict[tuple[str, str], tuple[bytes, int | None]]] = {}  # of fields, and what they say of the length
    _starts: ClassVar[dict[Any, bytes]] = {}
    _date: ClassVar[str] = ""

    def __init__(self, req: PlainRequest, sock: object, cfg: Settings) -> None:
        # Not gunicorn's: the rest is in the class.
        self.req = req
        self.sock = sock
        self.cfg = cfg
        self.version = wsgi.SERVER
        self.headers: list[tuple[str, str]] = []

    def start_response(self, status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], None]:
        """Extends gunicorn's: a plain answer needs no check."""
        if exc_info is None and self.status is None and self._take_plain(status, headers):
            return self.write
        self._plain = None
        write: Callable[[bytes], None] = super().start_response(status, headers, exc_info)
        self._learn()
        return write

    def _take_plain(self, status: object, headers: object) -> bool:
        """Take a plain answer; for any other one return ``False`` and change nothing."""
        if type(status) is not str or type(headers) is not list or self.req.method == "HEAD":
            return False
        code = self._statuses.get(status)
        if code is None:
            return False
        length, plain, lines = None, b"", self._lines
        for field in headers:
            if type(field) is not tuple or len(field) != 2:
                return False
            name, value = field
            if type(name) is not str or type(value) is not str:
                return False
            known = lines.get(field) or self._line(name, value)
            if known is None:
                return False
            plain += known[0]
            if known[1] is not None:
                length = known[1]
        self.status, self.status_code = status, code
        self.headers = headers[:]
        if length is None:
            self.chunked = self.is_chunked()
        else:
            self.response_length = length
        self._plain = plain
        return True

    def _line(self, name: str, value: str) -> tuple[bytes, int | None] | None:
        """Return a field as it is sent, and what it says of the length; ``None``: gunicorn is to check it."""
        is_length = self._names.get(name)
        if is_length is None or not (value.isascii() and value.isprintable()) or value[:1] == " " or value[-1:] == " ":
            return None
        if is_length and not (value.isdigit() and len(value) <= _MOST_DIGITS):
            return None
        known = f"{name}: {value}\r\n".encode("latin-1"), int(value) if is_length else None
        if len(value) <= _LONGEST_LEARNT:
            if len(self._lines) >= _MOST_LEARNT:
                self._lines.clear()
            self._lines[name, value] = known
        return known

    def _learn(self) -> None:
        """Remember what gunicorn, which has just accepted an answer, will accept again."""
        code = self.status_code
        known = len(self._statuses) + len(self._names)
        if code is None or not 200 <= code < 600 or code in _NO_BODY or known > _MOST_LEARNT:
            return
        status = self.status
        if isinstance(status, str) and status.isascii() and status.isprintable():
            self._statuses[status] = code
        for name, _ in self.headers:
            if not util.is_hoppish(name):
                self._names[name] = name.lower() == "content-length"

    def write(self, arg: bytes) -> None:
        """Extends :meth:`OneSendResponse.write`: the first piece of a plain answer."""
        if self.headers_sent or self._plain is None or type(arg) is not bytes:
            super().write(arg)
            return
        end_if_child()
        length = self.response_length
        if length is not None and len(arg) > length:
            arg = arg[:length]
        sent = len(arg)
        if self.chunked and arg:
            arg = b"%X\r\n%b\r\n" % (sent, arg)
        if self.stream is not None and sent != length:
            self.stream.look()
        if self.server is not None and self.server.ends_connections:
            self.must_close = True
        self.is_last = is_last = self.should_close()
        head = b"%b%b\r\n" % (self._start(is_last), self._plain)
        self.headers_sent, self.sent = True, sent
        self._send(head, arg)

    def _start(self, is_last: bool) -> bytes:
        """What comes before the application's fields."""
        date = util.http_date()
        if date is not CleanResponse._date:
            self._starts.clear()
            CleanResponse._date = date
        key = self.status, is_last, self.chunked, self.req.version, self.version
        start = self._starts.get(key)
        if start is None:
            start = "".join(self.default_headers()).encode("latin-1")
            if len(self._starts) < _MOST_LEARNT:
                self._starts[key] = start
        return start

    def should_close(self) -> bool:
        """Extends gunicorn's: of an answer whose length the client knows."""
        if self.response_length is None and not self.chunked:
            return bool(super().should_close())
        return self.must_close or self.req.should_close()
