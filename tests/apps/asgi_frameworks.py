"""The same small program in five frameworks: ``/json``, ``/plain`` (a ``def`` endpoint), ``/stream``, ``/echo``.

Only the framework that is asked for is imported.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nodecluster_compat import process


async def five() -> AsyncIterator[str]:
    for number in range(5):
        yield f"{number},"
        await asyncio.sleep(0)


def where() -> dict[str, bool]:
    return {"in main thread": threading.current_thread() is threading.main_thread()}


def fast() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"begun": True}

    app = FastAPI(lifespan=lifespan)

    def json(request: Any, a: int = 0) -> dict[str, Any]:
        return {"a": a, "begun": request.state.begun}

    def plain() -> dict[str, bool]:
        process.send({"from": "a thread"})
        return where()

    async def stream() -> StreamingResponse:
        return StreamingResponse(five())

    async def echo(websocket: Any) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    from fastapi import Request, WebSocket

    json.__annotations__["request"], echo.__annotations__["websocket"] = Request, WebSocket
    for path, endpoint in {"/json": json, "/plain": plain, "/stream": stream}.items():
        app.add_api_route(path, endpoint, response_model=None)
    app.add_api_websocket_route("/echo", echo)
    return app


def star() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    async def json(request: Any) -> JSONResponse:
        return JSONResponse({"a": int(request.query_params["a"])})

    def plain(_: Any) -> JSONResponse:
        return JSONResponse(where())

    async def stream(_: Any) -> StreamingResponse:
        return StreamingResponse(five())

    async def echo(websocket: Any) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    routes = [Route("/json", json), Route("/plain", plain), Route("/stream", stream), WebSocketRoute("/echo", echo)]
    return Starlette(routes=routes)


def qua() -> Any:
    import quart

    app = quart.Quart(__name__)

    async def json() -> dict[str, int]:
        return {"a": int(quart.request.args["a"])}

    async def stream() -> quart.Response:
        return quart.Response(five(), content_type="text/plain")

    async def echo() -> None:
        while True:
            await quart.websocket.send(await quart.websocket.receive())

    app.get("/json")(json)
    app.get("/plain")(where)
    app.get("/stream")(stream)
    app.websocket("/echo")(echo)
    return app


def lite() -> Any:
    import litestar
    from litestar.response import Stream

    async def json(a: int) -> dict[str, int]:
        return {"a": a}

    def plain() -> dict[str, bool]:
        return where()

    async def stream() -> Stream:
        return Stream(five())

    async def echo(socket: litestar.WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        async for text in socket.iter_data():
            await socket.send_text(str(text))

    stream.__annotations__["return"], echo.__annotations__["socket"] = Stream, litestar.WebSocket
    handlers = [
        litestar.get("/json")(json),
        litestar.get("/plain", sync_to_thread=True)(plain),
        litestar.get("/stream")(stream),
        litestar.websocket("/echo")(echo),
    ]
    return litestar.Litestar(handlers, openapi_config=None)


def dj() -> Any:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import JsonResponse, StreamingHttpResponse
    from django.urls import path

    async def json(request: Any) -> JsonResponse:
        return JsonResponse({"a": int(request.GET["a"])})

    def plain(_: Any) -> JsonResponse:
        return JsonResponse(where())

    async def stream(_: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(five())

    urls = type(sys)("urls")
    urls.urlpatterns = [path("json", json), path("plain", plain), path("stream", stream)]
    sys.modules["urls"] = urls
    settings.configure(ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], SECRET_KEY="only a test", USE_TZ=True)
    django.setup()
    return get_asgi_application()


MAKERS: dict[str, Callable[[], Any]] = {f"{maker.__name__}_app": maker for maker in (fast, star, qua, lite, dj)}


def __getattr__(name: str) -> Any:
    if name not in MAKERS:
        raise AttributeError(name)
    return MAKERS[name]()
