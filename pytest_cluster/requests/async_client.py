"""Send requests from ``async`` tests, on asyncio or trio: the client's methods, to be awaited."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Unpack

    from .client import Client
    from .outgoing import RequestOptions
    from .response import Response

__all__ = ["AsyncClient"]


class AsyncClient:
    """Requests to one cluster from asyncio, several at a time with ``asyncio.gather``; or from trio.

    Keywords, answers and errors are those of :class:`Client`, whose cookies it shares.

    :param client: sends them, from its threads.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def request(self, method: str, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """Send a request and return the answer; see :meth:`Client.request`."""
        future: Future[Response] = self._client.submit(path, method, **options)
        trio: Any = sys.modules.get("trio")
        if trio is None or _is_run_by_asyncio():
            return await asyncio.wrap_future(future)
        answer: Response = await trio.to_thread.run_sync(future.result, abandon_on_cancel=True)
        return answer

    async def get(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """GET *path*."""
        return await self.request("GET", path, **options)

    async def post(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """POST to *path*."""
        return await self.request("POST", path, **options)

    async def put(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """PUT to *path*."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """PATCH *path*."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """DELETE *path*."""
        return await self.request("DELETE", path, **options)

    async def head(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """HEAD of *path*."""
        return await self.request("HEAD", path, **options)

    async def options(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS of *path*."""
        return await self.request("OPTIONS", path, **options)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go; the cluster's client goes on."""


def _is_run_by_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True  # also where trio is its guest
