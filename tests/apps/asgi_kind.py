"""An ASGI worker that serves WSGI applications, each request in a thread: what stands for every kind runs with it."""

from __future__ import annotations

from typing import Any

from asgiref.wsgi import WsgiToAsgi

from nodecluster_compat import ASGIWorker


class Adapted:
    """A WSGI application as an ASGI application; it knows no lifespan."""

    def __init__(self, application: Any) -> None:
        self._application = WsgiToAsgi(application)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await self._application(scope, receive, send)


class Worker(ASGIWorker):
    def wrap(self, application: Any) -> Any:
        return super().wrap(Adapted(application))
