"""A chat: whoever is in a room reads what is said there, whichever worker has their websocket.

    gunicorn rooms:app            # the settings are in gunicorn.conf.py

A worker knows its own websockets and no others.  What is said goes to the primary, which passes it on to every worker
(``gunicorn.conf.py``), so everybody reads everything in the same order.

Each websocket has a task that sends.  The handler waits for none of them: a client that does not read would hold up
what all others of its worker are told.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from fastapi import FastAPI, WebSocket

from nodecluster_compat import cluster, process

COME_BACK = 1012
MOST_UNSENT = 100

app = FastAPI()


class Member:
    """A websocket, and what it is still to be sent."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.sending = asyncio.create_task(self._send())
        self._unsent: asyncio.Queue[str] = asyncio.Queue(MOST_UNSENT)

    def tell(self, text: str) -> None:
        """Send it soon; who is too far behind has to come back."""
        try:
            self._unsent.put_nowait(text)
        except asyncio.QueueFull:
            self.sending.cancel()

    async def _send(self) -> None:
        while True:
            await self.websocket.send_text(await self._unsent.get())


here: defaultdict[str, set[Member]] = defaultdict(set)
said: defaultdict[str, list[str]] = defaultdict(list)


@process.on("message")
async def heard(message: dict[str, str]) -> None:
    """Something was said, by somebody of this worker or of another."""
    said[message["room"]].append(message["text"])
    for member in here[message["room"]]:
        member.tell(message["text"])


@process.on("disconnecting")
async def goodbye() -> None:
    """This worker leaves: clients come back at once, and find another one."""
    for members in list(here.values()):
        for member in list(members):
            await member.websocket.close(COME_BACK)


@app.websocket("/rooms/{room}")
async def enter(websocket: WebSocket, room: str) -> None:
    await websocket.accept()
    await websocket.send_text(f"worker {cluster.worker.id}")
    member = Member(websocket)
    here[room].add(member)
    tasks = [member.sending, asyncio.create_task(listen(websocket, room))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        here[room].discard(member)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # it has gone, whoever has noticed it first


async def listen(websocket: WebSocket, room: str) -> None:
    """Pass on what the client says."""
    async for text in websocket.iter_text():
        await process.send_async({"room": room, "text": text})


@app.get("/rooms/{room}")
def read(room: str) -> list[str]:
    """What was said in a room since this worker began; a ``def`` endpoint, in a thread."""
    return said[room]


@app.post("/rooms/{room}/{text}")
def say(room: str, text: str) -> None:
    """Say something without a websocket."""
    process.send({"room": room, "text": text})
