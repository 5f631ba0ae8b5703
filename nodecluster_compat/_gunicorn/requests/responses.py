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
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response

from ...machine.forked_child import end_if_child
from ...runtime.client_gone import KEY, ClientGone, client_watch
from .one_send import OneSendResponse

if TYPE_CHECKING:
    from ..gunicorn_types import Headers, PlainRequest, Settings
    from .metering import Metering

__all__ = ["CleanResponse", "with_one_send"]

_MOST_LEARNT: Final = 1024
_MOST_DIGITS: Final = 18
_NO_BODY: Final = (204, 304)


class MeteredServer(Protocol):
    """What requests are made to."""

    @property
    def metering(self) -> Metering:
        """Is shown the responses to what gunicorn serves."""


def with_one_send(application: Callable[..., Iterable[bytes]], server: MeteredServer) -> Callable[..., Iterable[bytes]]:
    """Return ``application``, answered through :class:`OneSendResponse` on behalf of ``server``.

    gunicorn makes the response and passes its ``start_response`` to the application; before 26.2 there is no
    other place to choose its class.  HTTP/2 responses are of another class and stay what they are.
    """

    def call(environ: dict[str, Any], start_response: MethodType) -> Iterable[bytes]:
        response: Any = start_response.__self__
        if type(response) is Response:
            response.__class__ = OneSendResponse
        response.server = server
        noted = server.metering.responses
        if noted and response.sock in noted:
            noted[response.sock] = response
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

    _is_plain = False
    _statuses: ClassVar[dict[str, int]] = {}
    _names: ClassVar[dict[str, bool]] = {}  # whether it is Content-Length
    _heads: ClassVar[dict[Any, str]] = {}
    _heads_date: ClassVar[str] = ""

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
        self._is_plain = False
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
        length, names = None, self._names
        for field in headers:
            if type(field) is not tuple or len(field) != 2:
                return False
            name, value = field
            if type(name) is not str or type(value) is not str or not (value.isascii() and value.isprintable()):
                return False
            is_length = names.get(name)
            if is_length is None or value[:1] == " " or value[-1:] == " ":
                return False
            if is_length:
                if not value.isdigit() or len(value) > _MOST_DIGITS:
                    return False
                length = int(value)
        self.status, self.status_code = status, code
        self.headers = headers[:]
        if length is None:
            self.chunked = self.is_chunked()
        else:
            self.response_length = length
        self._is_plain = True
        return True

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
        if self.headers_sent or not self._is_plain or type(arg) is not bytes:
            super().write(arg)
            return
        length = self.response_length
        if length is not None and len(arg) > length:
            arg = arg[:length]
        sent = len(arg)
        if self.chunked and arg:
            arg = b"%X\r\n%b\r\n" % (sent, arg)
        if self.stream is not None and sent != length:
            self.stream.look()
        head = self._head()
        self.headers_sent, self.sent = True, sent
        self._send([head, arg])

    def _head(self) -> bytes:
        if self.server is not None and self.server.ends_connections:
            self.force_close()
        date = util.http_date()
        if date is not CleanResponse._heads_date:
            self._heads.clear()
            CleanResponse._heads_date = date
        key = self.status, self.should_close(), self.chunked, self.req.version, self.version
        start = self._heads.get(key)
        if start is None:
            start = "".join(self.default_headers())
            if len(self._heads) < _MOST_LEARNT:
                self._heads[key] = start
        fields = [f"{name}: {value}\r\n" for name, value in self.headers]
        return f"{start}{''.join(fields)}\r\n".encode("latin-1")
