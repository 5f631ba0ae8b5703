"""Send a response: gunicorn's, whose head and first piece of body leave in one ``send``.

Theory of operation
-------------------
:class:`OneSendResponse` (:mod:`one_send`) does what gunicorn's response does, in its words.

:class:`CleanResponse` answers clean requests.  Of a *plain* answer it knows what gunicorn would say, because gunicorn
has said it before: which names of headers it passes on and which statuses it takes are learnt from answers that its
own ``start_response`` has accepted, and the lines that it puts in front are kept while their ``Date`` is right.  An
answer is plain when its status and all its names are known and its values are printable ASCII.  Every other one, and
any second ``start_response``, goes through gunicorn's methods, before anything was changed here.

With the C extension a response's first base is ``PlainAnswer`` (``native/plain_answers.c``): it has the attributes, and
begins plain answers; every other one it gives to the methods here.

What is learnt is bounded: an application that makes up names or statuses is answered by gunicorn's methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from time import time
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response

from ...base.native import PYTHON, Choice, Native
from ...gevent_runtime.client_gone import KEY, ClientGone, client_watch
from ...gevent_runtime.client_socket import ClientSocket
from ...machine.forked_child import ThisProcess, end_if_child
from .one_send import OneSendResponse
from .own_variables import own_variables

if TYPE_CHECKING:
    from ..gunicorn_types import Headers, Settings
    from .clean_request import CleanRequest
    from .metering import MeteredServer

__all__ = ["AnsweredApplication", "CleanResponse"]

_MOST_LEARNT: Final = 1024
_LONGEST_LEARNT: Final = 128
_MOST_DIGITS: Final = 18
_NO_BODY: Final = (204, 304)

_statuses: dict[str, int] = {}
_names: dict[str, bool] = {}  # whether it is Content-Length
_lines: dict[tuple[str, str], tuple[bytes, int | None]] = {}  # of fields, and what they say of the length
_starts: dict[tuple[str, bool, bool, int], bytes] = {}  # what comes before the fields, in this second


class _Second:
    began = 0.0  # as time.time() has it


def _answers(native: Native) -> Any:  # noqa: ANN401 - of C
    """Return what all answers share where C begins them: what is learnt here."""
    return native.Answers(
        statuses=_statuses, names=_names, client=ClientSocket, process=ThisProcess, end_if_child=end_if_child
    )


class AnsweredApplication:
    """An application as gunicorn calls it, answered through :class:`OneSendResponse`.

    gunicorn makes the response and passes its ``start_response`` to the application; before 26.2 there is no
    other place to choose its class.  HTTP/2 responses are of another class and stay what they are.

    Args:
        application: any WSGI callable; the loop of clean requests calls it itself.
        server: on whose behalf it is answered.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], server: MeteredServer) -> None:
        self.application = application
        self._server = server
        self._ours = own_variables()

    def __call__(self, environ: dict[str, Any], start_response: MethodType) -> Iterable[bytes]:
        """Call it, and note its response."""
        response: Any = start_response.__self__
        if not isinstance(response, CleanResponse):  # whose environ has it of its connection
            environ.update(self._ours)
            if type(response) is Response:
                response.__class__ = OneSendResponse
        response.server = self._server
        noted = self._server.metering.responses
        if noted and response.sock in noted:
            noted[response.sock] = response
        raised = getattr(response, "raised", None)
        if raised is not None:
            response.raised = None
            raise raised
        gone = environ[KEY] = ClientGone(response)
        try:
            body = self.application(environ, start_response)
        except BaseException as error:
            end_if_child(error)
            raise
        end_if_child()
        if type(body) is not list:
            response.stream = gone
            client_watch.add_stream(gone)
        return body


class CleanResponse(OneSendResponse):
    """The response to a clean request.

    Args:
        req: what it answers.
        sock: of the connection.
        is_head: whether no body is to be sent.

    Attributes:
        is_watched: somebody is interested in whether its client leaves.
        is_last: of its connection, as its head says; ``None``: nobody has asked yet.
        raised: by whoever served it in the loop: gunicorn is to judge it.
    """

    status_code: Any
    answers: ClassVar[Any]  # of C
    upgrade = False
    _omits_body = False
    _omits_body_warned = False
    raised: BaseException | None = None

    def __init__(self, req: CleanRequest, sock: object, is_head: bool) -> None:
        # Not gunicorn's: the rest is in the class.  What every request needs is not: that would be looked up longer.
        self.req = req
        self.sock = sock
        self.status: Any = None
        self.chunked = self.must_close = self.headers_sent = self.is_watched = False
        self.response_length: int | None = None
        self.sent = 0
        self.stream = None
        self.is_last: bool | None = None
        self._is_head = is_head
        self._plain: bytes | None = None  # the fields of a plain answer, as they are sent

    @classmethod
    def of(cls, cfg: Settings, server: MeteredServer | None = None, choice: Choice = PYTHON) -> type[CleanResponse]:
        """Return the class of the responses with these settings, and on behalf of a server that is known already."""
        same: dict[str, Any] = {"cfg": cfg, "server": server}
        native = choice.module
        if native is None:
            return type("CleanResponse", (cls,), same)
        twins = {"start_in_python": cls.start_response, "write_in_python": cls.write, "answers": _answers(native)}
        return type("CleanResponse", (native.PlainAnswer, cls), {**same, **twins})

    @property
    def version(self) -> str:
        """As gunicorn's: what programs call the server."""
        name: str = wsgi.SERVER
        return name

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """As gunicorn's."""
        return []

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
        if type(status) is not str or type(headers) is not list or self._is_head:
            return False
        code = _statuses.get(status)
        if code is None:
            return False
        length, plain = None, b""
        try:
            for field in headers:
                line, said = _lines.get(field) or self._line(*field)
                plain += line
                if said is not None:
                    length = said
        except (TypeError, ValueError):  # not of pairs, or not plain
            return False
        self.status, self.status_code = status, code
        self.headers = headers[:]
        if length is None:
            self.chunked = self.is_chunked()
        else:
            self.response_length = length
        self._plain = plain
        return True

    def _line(self, name: object, value: object) -> tuple[bytes, int | None]:
        """Return a field as it is sent, and what it says of the length.

        Raises:
            ValueError: gunicorn is to check it.
        """
        if type(name) is not str or type(value) is not str or value.strip(" ") != value:
            raise ValueError(name)
        is_length = _names.get(name)
        if is_length is None or not (value.isascii() and value.isprintable()):
            raise ValueError(name)
        if is_length and not (value.isdigit() and len(value) <= _MOST_DIGITS):
            raise ValueError(name)
        known = f"{name}: {value}\r\n".encode("latin-1"), int(value) if is_length else None
        if len(value) <= _LONGEST_LEARNT:
            if len(_lines) >= _MOST_LEARNT:
                _lines.clear()
            _lines[name, value] = known
        return known

    def _learn(self) -> None:
        """Remember what gunicorn, which has just accepted an answer, will accept again."""
        code = self.status_code
        known = len(_statuses) + len(_names)
        if code is None or not 200 <= code < 600 or code in _NO_BODY or known > _MOST_LEARNT:
            return
        status = self.status
        if isinstance(status, str) and status.isascii() and status.isprintable():
            _statuses[status] = code
        for name, _ in self.headers:
            if not util.is_hoppish(name):
                _names[name] = name.lower() == "content-length"

    def write(self, arg: bytes) -> None:
        """Extends :meth:`OneSendResponse.write`: the first piece of a plain answer."""
        plain = self._plain
        if plain is None or self.headers_sent or type(arg) is not bytes:
            super().write(arg)
            return
        end_if_child()
        length, chunked = self.response_length, self.chunked
        if length is not None and len(arg) > length:
            arg = arg[:length]
        sent = len(arg)
        if chunked and arg:
            arg = b"%X\r\n%b\r\n" % (sent, arg)
        if self.stream is not None and sent != length:
            self.stream.look()
        if self.server is not None and self.server.ends_connections:
            self.must_close = True
        self.is_last = is_last = self.should_close()
        start = _starts.get((self.status, is_last, chunked, self.req.minor_version))
        if start is None or not 0.0 <= time() - _Second.began < 1.0:
            start = self._start(is_last)
        self.headers_sent, self.sent = True, sent
        self._send(b"%b%b\r\n" % (start, plain), arg)

    def _start(self, is_last: bool) -> bytes:
        """Return what comes before the application's fields, and keep it for a second."""
        now = float(int(time()))
        if now != _Second.began or len(_starts) >= _MOST_LEARNT:
            _starts.clear()
            _Second.began = now
        start = "".join(self.default_headers()).encode("latin-1")
        _starts[self.status, is_last, self.chunked, self.req.minor_version] = start
        return start

    def should_close(self) -> bool:
        """Extends gunicorn's: of an answer whose length the client knows."""
        if self.response_length is None and not self.chunked:
            return bool(super().should_close())
        return self.must_close or self.req.should_close()
