"""A chat: whoever is in a room reads what is said there, whichever worker has their websocket.

    gunicorn rooms:app            # the settings are in gunicorn.conf.py

A worker knows its own websockets and no others.  What is said goes to the primary, which passes it on to every worker
(``gunicorn.conf.py``), so everybody reads everything in the same order.
"""

from __future__ import annotations

from collections import defaultdict

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from nodecluster_compat import cluster, process

COME_BACK = 1012

app = FastAPI()
here: defaultdict[str, set[WebSocket]] = defaultdict(set)
said: defaultdict[str, list[str]] = defaultdict(list)


@process.on("message")
async def heard(message: dict[str, str]) -> None:
    """Something was said, by somebody of this worker or of another."""
    said[message["room"]].append(message["text"])
    for websocket in list(here[message["room"]]):
        try:
            await websocket.send_text(message["text"])
        except (RuntimeError, OSError):  # it has gone meanwhile
            here[message["room"]].discard(websocket)


@process.on("disconnecting")
async def goodbye() -> None:
    """This worker leaves: clients come back at once, and find another one."""
    for websockets in list(here.values()):
        for websocket in list(websockets):
            await websocket.close(COME_BACK)


@app.websocket("/rooms/{room}")
async def enter(websocket: WebSocket, room: str) -> None:
    await websocket.accept()
    here[room].add(websocket)
    await websocket.send_text(f"worker {cluster.worker.id}")
    try:
        async for text in websocket.iter_text():
            await process.send_async({"room": room, "text": text})
    except WebSocketDisconnect:
        pass
    finally:
        here[room].discard(websocket)


@app.get("/rooms/{room}")
def read(room: str) -> list[str]:
    """What was said in a room since this worker began; a ``def`` endpoint, in a thread."""
    return said[room]


@app.post("/rooms/{room}/{text}")
def say(room: str, text: str) -> None:
    """Say something without a websocket."""
    process.send({"room": room, "text": text})
