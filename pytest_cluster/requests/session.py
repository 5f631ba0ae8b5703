"""Make requests of one client, one after another: its cookies, the redirects that it follows, who has answered.

The wire is Python's ``http.client``.  What it lacks, files and compressed answers, is urllib3's, which is loaded when
used: its import takes half of the time that httpx' takes, and it needs no other package.
"""

from __future__ import annotations

import dataclasses
import http.client
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import ForeignRedirect, OptionError, RedirectLoop
from ..options.checks import check_seconds
from ..waiting import Patience, scaled, timed_out
from .endpoint import DEFAULT_TIMEOUT, Endpoint
from .noted import NotedRequest
from .outgoing import BodyOptions, Outgoing, cookies_of, encode, own_path, redirected
from .response import Response

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .cookies import Cookies

__all__ = ["Session"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

MOST_REDIRECTS = 20


@dataclass
class Session:
    """What the requests of one client share.

    Attributes:
        endpoint: where the cluster is.
        on_answer: called with the id of the worker whose application has given an answer.
        connections: those that are open.
        note: called with each request when its answer is there, or its error.
        keeps_cookies: whether what one answer sets goes with the next request.
    """

    endpoint: Endpoint
    on_answer: Callable[[int], None]
    connections: set[socket.socket]
    note: Callable[[NotedRequest], object]
    keeps_cookies: bool = True

    @cached_property
    def cookies(self) -> Cookies:
        """The cookies of this client."""
        from .cookies import Cookies

        return Cookies()

    def forget(self) -> None:
        """Forget the cookies."""
        if "cookies" in vars(self):
            self.cookies.clear()

    def ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float | tuple[float | None, float | None] | None = None,
        follow_redirects: bool = False,
        **options: Unpack[BodyOptions],
    ) -> Response:
        """Send a request, and follow where it leads if that is asked for; return the last answer.

        :param timeout: of a pair, as requests has it, the second: connecting takes no time here.
        :raises WaitTimeout: no byte came in *timeout* seconds (default: 10).
        :raises RedirectLoop, ForeignRedirect: the redirects do not end, or leave the cluster.
        """
        silence = timeout[1] if isinstance(timeout, tuple) and len(timeout) == 2 else timeout
        seconds: Any = scaled(DEFAULT_TIMEOUT) if silence is None else silence
        check_seconds("timeout", seconds, can_be_zero=False)
        request, own_cookies = self._encoded(method, path, options), cookies_of(options.get("cookies"))
        history: list[Response] = []
        while True:
            answer = self._exchange(request, seconds, own_cookies)
            if not (follow_redirects and answer.is_redirect):
                return dataclasses.replace(answer, history=tuple(history))
            history.append(answer)
            if len(history) > MOST_REDIRECTS:
                raise RedirectLoop(f"{method} {path}: {MOST_REDIRECTS} redirects, and another, to {answer.location}")
            request = redirected(request, answer.status, self._next(request, answer.location or ""))

    def _encoded(self, method: str, path: str, options: BodyOptions) -> Outgoing:
        """Return the request; one for the cluster's whole URL asks for its path, as in any client.

        :raises OptionError: that URL is somebody else's.
        """
        request = encode(method, path, **options)
        if not request.target.startswith(("http://", "https://")):
            return request
        own = own_path("/", request.target, self._hosts(request))
        if own is None:
            raise OptionError(
                f"expected a path of the cluster's, got {request.target!r:.100}: another host goes into "
                "headers={'Host': …}, and a proxy's request line through cluster.connect()"
            )
        return dataclasses.replace(request, target=own)

    def _next(self, request: Outgoing, location: str) -> str:
        path = own_path(request.target, location, self._hosts(request))
        if path is None:
            raise ForeignRedirect(
                f"{request.method} {request.target} leads to {location}, which is not the cluster's: without "
                "follow_redirects the answer has it in its location"
            )
        return path

    def _exchange(self, request: Outgoing, seconds: float, own_cookies: Mapping[str, str] | None) -> Response:
        cookies = "" if request.has("Cookie") else self._cookies_for(request, own_cookies)
        headers = {**request.headers, "Cookie": cookies} if cookies else request.headers
        patience = Patience(seconds)
        began = time.monotonic()
        try:
            answer = self.endpoint.request(
                request.method, request.target, request.body, headers, patience, self.connections
            )
        except TimeoutError:
            self._note(began, request, error="no answer")
            early = patience.early_end()
            raise timed_out(f"an answer to {request.method} {request.target}", seconds, [], early=early) from None
        except (OSError, http.client.HTTPException) as error:
            self._note(began, request, error=type(error).__name__)
            raise
        self._note(began, request, answer.status, answer.worker)
        if answer.worker is not None and not answer.is_page_of_server:
            self.on_answer(answer.worker)
        if self.keeps_cookies and "Set-Cookie" in answer.headers:
            self.cookies.taken(self._url(request), answer.headers)
        return answer

    def _note(
        self, began: float, request: Outgoing, status: int | None = None, worker: int | None = None, *, error: str = ""
    ) -> None:
        seconds = time.monotonic() - began
        self.note(NotedRequest(began, seconds, request.method, request.target, status, worker, error))

    def _cookies_for(self, request: Outgoing, own: Mapping[str, str] | None) -> str:
        if "cookies" in vars(self) or own:
            return self.cookies.header(self._url(request), own)
        return ""

    def _host(self, request: Outgoing) -> str:
        """Return the host that the request is for, as its header field says it."""
        named = next((value for name, value in request.headers.items() if name.lower() == "host"), "")
        return named or f"{self._address()}:{self.endpoint.port}"

    def _address(self) -> str:
        """Return the cluster's host as a URL has it."""
        host = self.endpoint.host or "localhost"
        return f"[{host}]" if ":" in host else host

    def _hosts(self, request: Outgoing) -> list[str]:
        """Return the hosts that are the cluster's: by its address, and as the request names it."""
        host, port = self._address(), self.endpoint.port
        unsaid = [host] if port == (443 if self.endpoint.tls else 80) else []
        return [self._host(request), f"{host}:{port}", f"localhost:{port}", "localhost", *unsaid]

    def _url(self, request: Outgoing) -> str:
        scheme = "https" if self.endpoint.tls else "http"
        path = request.target if request.target.startswith("/") else "/"
        return f"{scheme}://{self._host(request)}{path}"
