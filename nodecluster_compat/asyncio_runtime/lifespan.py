"""Tell an ASGI application that the server begins and ends: the lifespan protocol.

    ready to begin ──startup──▶ application ──startup.complete──▶ begun ──shutdown──▶ application ──▶ ended
                                    ├─startup.failed──▶ LifespanFailed
                                    └─raises, returns──▶ LifespanFailed where lifespan is "on"; "auto": it has none

gunicorn's own gives an application 30 seconds and then serves as if it knew no lifespan.  Here it may take as long as
the server lets a worker boot (``boot_timeout``), and end as long as the drain lets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from .reactor import complain
from .task_stacks import task_stack

__all__ = ["ASGIApplication", "Lifespan", "LifespanFailed"]

Event: TypeAlias = MutableMapping[str, Any]
ASGIApplication: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]
]

_ANSWERS: Final = frozenset({"complete", "failed"})


class LifespanFailed(Exception):
    """The application cannot serve: it has said so, or it has no lifespan although it must have one."""


class Lifespan:
    """The lifespan of one application.

    Args:
        application: an ASGI application.
        state: what it shares with the requests; filled by it.
        is_required: whether it must have one (``asgi_lifespan = "on"``).

    Attributes:
        raised: by the application, before its startup was complete.
    """

    def __init__(self, application: ASGIApplication, state: dict[str, Any], *, is_required: bool) -> None:
        self._application = application
        self._state = state
        self._is_required = is_required
        self._told: asyncio.Queue[Event] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self.raised: BaseException | None = None

    async def startup(self) -> bool:
        """Tell that the server begins, and wait until the application is ready; return whether it has a lifespan.

        To be called again where the wait was cancelled: by an application that cancels every task that it finds.

        Raises:
            LifespanFailed: it is not ready, and will not be.
        """
        if self._task is None:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.4"}, "state": self._state}
            self._task = asyncio.create_task(self._run(scope), name="lifespan")
            self._task.add_done_callback(self._ended)
            asyncio._unregister_task(self._task)
        answer = await self._tell("startup")
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            raise LifespanFailed(str(answer.get("message") or "it gave no reason"))
        if answer is not None:
            return True
        self.raised = asyncio.CancelledError() if self._task.cancelled() else self._task.exception()
        if self._is_required:
            how = "returned" if self.raised is None else f"raised {self.raised!r}"
            raise LifespanFailed(f"asgi_lifespan is 'on', and the application {how} before startup was complete")
        return False

    @property
    def is_known(self) -> bool:
        """Whether the application has taken what it was told, as only one does that knows lifespans."""
        return self._told.empty()

    async def shutdown(self) -> str | None:
        """Tell that the server ends, and wait until the application has; return what went wrong.

        To be called again as :meth:`startup`.
        """
        if self._task is None or self._task.done():
            return None
        answer = await self._tell("shutdown")
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            return str(answer.get("message") or "it gave no reason")
        await asyncio.wait([self._task])
        error = None if self._task.cancelled() else self._task.exception()
        return None if error is None else repr(error)

    def show(self) -> None:
        """Let its task be among those of the loop (``asyncio.all_tasks``) from now on: to be cancelled with them.

        Until then an application that cancels every task which it finds does not find the one that it ends by.
        """
        if self._task is not None and not self._task.done():
            asyncio._register_task(self._task)

    def stack(self) -> str:
        """Return where the application is; nothing where it is not at work."""
        return "" if self._task is None or self._task.done() else task_stack(self._task)

    async def _tell(self, what: str) -> Event | None:
        """Return the application's answer; ``None`` if it ends without one."""
        assert self._task is not None
        if what not in self._answers:
            self._answers[what] = asyncio.get_running_loop().create_future()
            self._told.put_nowait({"type": f"lifespan.{what}"})
        answer: asyncio.Future[Any] = self._answers[what]
        await asyncio.wait([self._task, answer], return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Say what nobody waits to hear; asyncio would say it of an exit of the process as well."""
        answer = self._answers.get("startup")
        if "shutdown" not in self._answers and answer is not None and answer.done():
            complain(task)
        elif not task.cancelled():
            task.exception()  # told by whoever waits

    async def _run(self, scope: dict[str, Any]) -> None:
        await self._application(scope, self._told.get, self._send)

    async def _send(self, message: Event) -> None:
        _, what, how = (*str(message["type"]).split("."), "", "")[:3]
        answer = self._answers.get(what)
        if how not in _ANSWERS or answer is None:
            raise RuntimeError(f"expected lifespan.startup.complete or its like, got {message['type']!r}")
        if not answer.done():
            answer.set_result(message)
