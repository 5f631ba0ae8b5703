"""Put an agent into each process of a cluster, and lead the server's steps, requests and answers to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from ..wire.records import CONTROL_VARIABLE, PAGE_HEADER
from .agents import Agent, PrimaryAgent, WorkerAgent
from .asgi import ASGIApplication, WrappedASGIApplication
from .hosts import Desk, Reactor, WorkerHost
from .output import take_own_output
from .web import Connection, MarkedSocket, WrappedApplication

__all__ = ["connect", "enter_primary", "enter_worker", "leave", "mark", "page_fields", "reach", "wrap", "wrap_asgi"]


class _ThisProcess:
    agent: Agent | None = None


def enter_primary(reactor: Reactor, desk: Desk) -> None:
    """Start the agent of a primary."""
    with contextlib.suppress(OSError):  # nobody listens there: the test is gone
        _ThisProcess.agent = PrimaryAgent(reactor, desk)


def enter_worker(worker: int) -> None:
    """Start the agent of a worker, which was just forked and has left its parent's agent."""
    folder = os.path.dirname(os.environ[CONTROL_VARIABLE])
    with contextlib.suppress(OSError):
        take_own_output(folder, worker)
    with contextlib.suppress(OSError):  # of a cluster that was kept when its test had ended
        _ThisProcess.agent = WorkerAgent(worker)


def connect(host: WorkerHost) -> None:
    """Connect the agent to the worker's loop, which it has from now on."""
    agent = _ThisProcess.agent
    if isinstance(agent, WorkerAgent):
        agent.connect(host)


def leave() -> None:
    """Close what a forked child has inherited of its parent's agent."""
    agent, _ThisProcess.agent = _ThisProcess.agent, None
    if agent is not None:
        agent.leave()


def reach(step: str) -> None:
    """Act at a step of the server's, to which this process has come."""
    agent = _ThisProcess.agent
    if agent is not None:
        if step == "ready":
            agent.steps.loaded()
        agent.steps.reach(step)


def wrap(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return the application as it is served under test."""
    agent = _ThisProcess.agent
    if not isinstance(agent, WorkerAgent) or agent.worker is None:
        return application
    agent.steps.application = application
    return WrappedApplication(application, agent.worker, agent.tallies, agent.steps)


def wrap_asgi(application: ASGIApplication) -> ASGIApplication:
    """Return the ASGI application as it is served under test."""
    agent = _ThisProcess.agent
    if not isinstance(agent, WorkerAgent) or agent.worker is None:
        return application
    agent.steps.application = application
    return WrappedASGIApplication(application, agent.worker, agent.tallies, agent.steps)


def page_fields() -> tuple[tuple[str, str], ...]:
    """Return the fields of a response that the server gives by itself."""
    agent = _ThisProcess.agent
    return ((PAGE_HEADER, str(agent.worker)),) if isinstance(agent, WorkerAgent) else ()


def mark(client: Connection) -> Connection:
    """Return the socket on which the server answers by itself: the application has raised, or the request is bad."""
    agent = _ThisProcess.agent
    if not isinstance(agent, WorkerAgent) or agent.worker is None:
        return client
    return MarkedSocket(client, agent.worker)
