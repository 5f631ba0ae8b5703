"""Send HTTP requests, each on a connection of its own, and tell which worker has answered.

Keep-alive would pin every request of a test to one worker, and a test of distribution would lie.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import WaitTimeout
from ..options.checks import is_count, is_seconds
from ..waiting import poll, scaled
from .endpoint import Endpoint
from .hits import Hit, Hits
from .noted import NotedRequest
from .outgoing import RequestOptions, check_keywords
from .response import Response
from .session import Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .cookies import Cookies

__all__ = ["Client"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

FIRST_ANSWERS_SECONDS = 60.0
JOIN_SECONDS = 5.0
MOST_AT_A_TIME = 1000
"""More threads than that are a mistake in a test, not a load."""
HIT_BYTES = 1000


class Client:
    """Requests to one cluster, each on a connection of its own.

    Every method takes, by keyword:

    - ``params``: the query, as a mapping or pairs;
    - a body: ``data`` (a form as a mapping or pairs, or bytes), ``json`` (anything that JSON can carry), ``files``
      (by name: bytes, an open file, or ``(filename, content)``), or ``body`` (bytes);
    - ``headers``, ``cookies``: mappings; ``auth``: a name and a password;
    - ``follow_redirects``: whether to go where a redirect leads (default: no);
    - ``timeout``: seconds without a byte from the server (default: 10).

    It keeps cookies as a browser does, from one request to the next; ``get_many`` and ``load`` ask as many people would
    who come for the first time.

    :param endpoint: where the cluster is.
    :param on_answer: called with the id of the worker that has given an answer.
    :param listening: says which workers listen now, by their ids.
    :param explain: makes of a request's bare time-out one that says who has the request; with true also what everybody
        is doing.
    :param note: called with each request when its answer is there, or its error.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_answer: Callable[[int], None],
        listening: Callable[[], frozenset[int]] = frozenset,
        explain: Callable[[WaitTimeout, bool], WaitTimeout] = lambda error, _: error,
        note: Callable[[NotedRequest], object] = lambda _: None,
    ) -> None:
        self._connections: set[socket.socket] = set()
        self._session = Session(endpoint, on_answer, self._connections, note)
        self._strangers = Session(endpoint, on_answer, self._connections, note, keeps_cookies=False)
        self._listening = listening
        self._explain = explain
        self._executor: ThreadPoolExecutor | None = None
        self._submitted: set[Future[Response]] = set()

    @property
    def cookies(self) -> Cookies:
        """The cookies of this client, by name; a test gets a client without any."""
        return self._session.cookies

    def forget(self) -> None:
        """Forget the cookies: another test begins."""
        self._session.forget()

    def request(self, method: str, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """Send a request and return the answer; ``answer.worker`` is who gave it.

        :param method: any, as it is on the wire: ``"PUT"``.
        :param path: with its query; a missing slash is put in front.
        :param options: see :class:`Client`.
        :raises WaitTimeout: no byte came in that time, a ``TimeoutError``: with who has the request, and the stacks of
            that moment.
        :raises UnknownKeyword: a request has no such keyword.
        :raises OSError: there was no answer.
        :raises http.client.HTTPException: the answer is not HTTP.
        """
        return self._ask_and_explain(method, path, options, with_stacks=True)

    def _ask_and_explain(self, method: str, path: str, options: RequestOptions, *, with_stacks: bool) -> Response:
        check_keywords(options)
        try:
            return self._session.ask(method, path, **options)
        except WaitTimeout as error:
            raise self._explain(error, with_stacks) from None

    def get(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """GET *path*: :meth:`request`, with its options and errors."""
        return self.request("GET", path, **options)

    def post(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """POST to *path*: :meth:`request`, with its options and errors."""
        return self.request("POST", path, **options)

    def put(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """PUT to *path*: :meth:`request`, with its options and errors."""
        return self.request("PUT", path, **options)

    def patch(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """PATCH *path*: :meth:`request`, with its options and errors."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """DELETE *path*: :meth:`request`, with its options and errors."""
        return self.request("DELETE", path, **options)

    def head(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """HEAD of *path*: :meth:`request`, with its options and errors."""
        return self.request("HEAD", path, **options)

    def options(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS of *path*: :meth:`request`, with its options and errors."""
        return self.request("OPTIONS", path, **options)

    def submit(self, path: str = "/", method: str = "GET", **options: Unpack[RequestOptions]) -> Future[Response]:
        """Send a request from another thread: for one that a fault holds.

        Up to 1000 are under way at a time, more wait for their turn.  What is under way at the end of the cluster is
        cut off.

        :param options: those of :meth:`request`.
        :return: a future; its ``result()`` is the answer, or raises what :meth:`request` raises, without stacks.
        """
        check_keywords(options)
        future = self._threads().submit(self._ask_and_explain, method, path, options, with_stacks=False)
        self._submitted.add(future)
        future.add_done_callback(self._submitted.discard)
        return future

    def get_many(
        self,
        path: str = "/",
        count: int = 100,
        *,
        concurrency: int = 1,
        method: str = "GET",
        **options: Unpack[RequestOptions],
    ) -> Hits:
        """Send the same request many times; what fails is in the result, and raises nothing.

        :param count: how many requests.
        :param concurrency: how many at a time, 1 to 1000; 1: one after another.
        :param method: for requests that are no GET.
        :param options: those of :meth:`request`.
        :raises ValueError: *count* or *concurrency* cannot be.
        """
        check_keywords(options)
        hits = self._no_hits(concurrency)
        if not is_count(count):
            raise ValueError(f"expected a count of requests, 1 or more, got {count!r:.100}")

        def ask(_: int) -> None:
            hits.append(self._hit(method, path, options))

        if concurrency == 1:
            list(map(ask, range(count)))
            return hits
        with ThreadPoolExecutor(max(1, min(concurrency, count))) as threads:
            list(threads.map(ask, range(count)))
        return hits

    @contextmanager
    def load(
        self,
        path: str = "/",
        *,
        concurrency: int = 2,
        pause: float = 0.0,
        method: str = "GET",
        **options: Unpack[RequestOptions],
    ) -> Iterator[Hits]:
        """Send the same request again and again while a block runs; what came of it is complete after the block.

        The block begins after the first answers, and at least one more request is made after it has ended.

        :param concurrency: how many at a time, 1 to 1000.
        :param pause: seconds, 0 or more, between an answer and the next request: for a load that lasts, and leaves the
            processor to the server.
        :param method: for requests that are no GET.
        :param options: those of :meth:`request`.
        :raises ValueError: *concurrency* or *pause* cannot be.
        """
        check_keywords(options)
        hits = self._no_hits(concurrency)
        if not is_seconds(pause, can_be_zero=True):
            raise ValueError(f"expected a pause of 0 s or more, got {pause!r:.100}")
        ended = threading.Event()

        def keep_asking() -> None:
            last = False
            while not last:
                last = ended.is_set()
                hits.append(self._hit(method, path, options))
                ended.wait(pause)

        with ThreadPoolExecutor(concurrency) as threads:
            tasks = [threads.submit(keep_asking) for _ in range(concurrency)]
            try:
                _wait_for_first_answers(hits, tasks)
                yield hits
            finally:
                ended.set()
        for task in tasks:
            task.result()

    def close(self) -> None:
        """Cut off what was submitted and is under way; does not wait, :meth:`join` does."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._cut()

    def join(self) -> None:
        """After :meth:`close`: wait until the threads have ended, which may take until the server has."""
        executor, self._executor = self._executor, None
        if executor is not None and poll(self._is_idle, scaled(JOIN_SECONDS)):
            executor.shutdown()

    def __repr__(self) -> str:
        endpoint = self._session.endpoint
        return f"<client of {endpoint.path or f'{endpoint.host}:{endpoint.port}'}>"

    def _threads(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(MOST_AT_A_TIME, thread_name_prefix="cluster-client")
        return self._executor

    def _is_idle(self) -> bool:
        self._cut()  # again: one may have connected only now
        return not self._submitted

    def _cut(self) -> None:
        for connection in self._connections.copy():
            with contextlib.suppress(OSError):  # its thread has closed it meanwhile
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _no_hits(self, concurrency: int) -> Hits:
        if not is_count(concurrency, 1, MOST_AT_A_TIME):
            raise ValueError(f"expected a concurrency of 1 to {MOST_AT_A_TIME}, got {concurrency!r:.100}")
        return Hits([], concurrency, self._listening())

    def _hit(self, method: str, path: str, options: RequestOptions) -> Hit:
        try:
            answer = self._strangers.ask(method, path, **options)
        except (OSError, http.client.HTTPException) as error:
            return Hit(path, None, None, f"{type(error).__name__}: {error}")
        return Hit(path, answer.status, answer.worker, "", answer.body[:HIT_BYTES].decode(errors="replace"))


def _wait_for_first_answers(hits: Hits, tasks: Sequence[Future[None]]) -> None:
    """Return when each of *tasks* has had one; raise what one has raised, which is no server's answer."""
    poll(lambda: len(hits) >= len(tasks) or any(task.done() for task in tasks), scaled(FIRST_ANSWERS_SECONDS))
    for task in tasks:
        if task.done():
            task.result()
