"""Start a cluster and wait until it is ready; return where it listens.

A port that accepts says nothing: the primary binds before any worker exists, so that even an application that cannot
be imported looks "up" for a moment.  A cluster is ready when its primary has reported as many *listening* workers as
were asked for.
"""

from __future__ import annotations

import dataclasses
import http.client
import socket
from collections.abc import Sequence

from ..errors import OptionError, StartError, WaitTimeout
from ..journal.entries import LIFECYCLE, JournalEntry, ListeningAddress, lasting
from ..options.cluster_options import ClusterOptions
from ..processes.worker import WorkerProxy
from ..requests.endpoint import Endpoint
from ..server.conf import DEFAULT_BIND
from ..server.exits import error_in_log, last_words
from ..server.server_process import ServerProcess
from ..waiting import Deadline, poll

__all__ = ["bring_up", "distinct_addresses", "listening_workers", "prepare_server", "worker_ids"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

MOST_FAILED_BOOTS = 3
"""So many workers that end before they listen are no accident: there is no use in waiting for more."""

LEAST_FAILED_BOOTS = 2
"""Nor are so many, where no other worker lives: the next one is born after a pause only."""

ENDING_CODES = (3, 4)
"""With these, of a worker that could not boot or could not load its application, gunicorn ends."""

ENDED_ITSELF = ": something that the application imports, or a hook, has ended the process (sys.exit, os._exit)"

# What a client connects to when a server listens on every interface.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def worker_ids(entries: Sequence[JournalEntry]) -> list[int]:
    """Return the ids of all workers that ever were, in order."""
    return sorted({entry.worker for entry in entries if entry.event in LIFECYCLE})


def listening_workers(entries: Sequence[JournalEntry], listeners: int = 1) -> list[int]:
    """Return the ids of the workers that listen now, on at least *listeners* sockets."""
    state: dict[int, str] = {}
    sockets: dict[int, int] = {}
    for entry in entries:
        if entry.event not in LIFECYCLE:
            continue
        state[entry.worker] = entry.state
        sockets[entry.worker] = sockets.get(entry.worker, 0) + (entry.event == "listening")
    return sorted(one for one in state if state[one] == "listening" and sockets[one] >= listeners)


def failed_boots(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Return the ends of workers that never listened, and were not told to end."""
    listened = {entry.worker for entry in entries if entry.event == "listening"}
    ends = [entry for entry in entries if entry.event == "exit" and not entry.exited_after_disconnect]
    return [entry for entry in ends if entry.worker not in listened]


def is_hopeless(entries: Sequence[JournalEntry]) -> bool:
    """Whether there is no use in waiting for more workers: too many have failed, or all at once, and nobody did it."""
    failed = len(failed_boots(entries))
    if failed >= MOST_FAILED_BOOTS:
        return True
    ended = {entry.worker for entry in entries if entry.event == "exit"}
    lives = any(one not in ended for one in worker_ids(entries))
    return failed >= LEAST_FAILED_BOOTS and not lives and not any(entry.injected for entry in entries)


def ends_by_itself(entries: Sequence[JournalEntry]) -> bool:
    """Whether gunicorn's own primary ends for this: after any other end of a worker it pauses, and tries again."""
    return is_hopeless(entries) and any(one.code in ENDING_CODES for one in failed_boots(entries))


def distinct_addresses(entries: Sequence[JournalEntry]) -> list[ListeningAddress]:
    """Return where the workers listen, each address once, in the order of the first report."""
    return list(dict.fromkeys(entry.address for entry in entries if entry.address is not None))


def prepare_server(options: ClusterOptions, *, pythonpath: str) -> ServerProcess:
    """Return the server that *options* ask for, prepared and not started.

    :raises OptionError: something that cannot be.
    """
    bind = DEFAULT_BIND if options.has_journal else _stock_bind(options)
    return ServerProcess(options, pythonpath=pythonpath, bind=bind)


def bring_up(server: ServerProcess, options: ClusterOptions, *, workers: int) -> Endpoint:
    """Start it and return where it is, when it is ready: so many workers listen.

    :raises StartError: it ended, or was not ready in time; nothing of it is left.
    """
    server.start()
    try:
        found = _wait_ready(server, options, workers) if options.has_journal else _wait_answering(server, options)
    except BaseException:
        server.abort()
        raise
    server.detour.goal = found.path or (found.host, found.port)
    return dataclasses.replace(found, detour=server.detour)


def endpoint_of(address: ListeningAddress, *, tls: bool) -> Endpoint:
    """Return how a client reaches *address*."""
    if address.address_type == -1:
        return Endpoint(host="", port=0, path=address.address, tls=tls)
    host = address.address or "0.0.0.0"
    return Endpoint(host=WILDCARDS.get(host, host), port=address.port, tls=tls)


def _wait_ready(server: ServerProcess, options: ClusterOptions, workers: int) -> Endpoint:
    def ready(entries: tuple[JournalEntry, ...]) -> bool:
        return len(listening_workers(entries, options.listeners)) >= workers

    def hopeless() -> bool:
        return server.ended() or is_hopeless(server.journal.entries)

    deadline = Deadline(options.start_timeout)
    try:
        server.journal.wait_until(ready, expected="to be ready", timeout=options.start_timeout, interrupted=hopeless)
    except WaitTimeout:
        early = deadline.early_end()
        seen = len({entry.worker for entry in server.journal.entries if entry.event == "listening"})
        cause = _why_not_ready(server, options, f"{min(seen, workers)} of {workers} workers listened")
        raise server.start_error(f"{cause}; {early}" if early else cause) from None
    return endpoint_of(distinct_addresses(server.journal.entries)[0], tls="certfile" in options.settings)


def _stock_bind(options: ClusterOptions) -> str:
    """Return a free address for a stock worker class, which would not say where it listens."""
    if "bind" in options.settings:
        raise OptionError(f"cluster: {options.worker_class!r} reports no address, so bind cannot be set")
    try:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            host, port = probe.getsockname()
    except OSError as error:
        raise StartError(f"the cluster has no address: there is no free port: {error}") from None
    return f"{host}:{port}"


def _wait_answering(server: ServerProcess, options: ClusterOptions) -> Endpoint:
    """Wait until *some* worker has answered a request: a stock worker class, for comparisons only, says no more."""
    host, _, port = server.bind.rpartition(":")
    endpoint = Endpoint(host, int(port), tls="certfile" in options.settings)

    def answers() -> bool:
        if server.ended():
            return True
        try:
            endpoint.request("GET", "/", timeout=options.start_timeout)
        except (OSError, http.client.HTTPException):
            return False
        return True

    if not poll(answers, options.start_timeout) or server.ended():
        raise server.start_error(_why_not_ready(server, options, "no request was answered"))
    return endpoint


def _why_not_ready(server: ServerProcess, options: ClusterOptions, seen: str) -> str:
    hopeless = is_hopeless(server.journal.entries)
    # A script decides itself whether it ends.
    over = server.settle(is_ending=options.script is None and ends_by_itself(server.journal.entries)) or hopeless
    failed = failed_boots(server.journal.entries)
    when = "at its start" if over else f"within {options.start_timeout:g} s"
    cause = f"the cluster of {options.target} did not get ready {when} ({seen})"
    if failed:
        end = WorkerProxy(server, failed[0].worker).describe_end()
        cause += f"; worker {failed[0].worker} ended with {end}{ENDED_ITSELF if end == 'exit code 0' else ''}"
    cause += _faults_that_hold(server)
    own = [server.logs.worker(one.worker, one.pid).text for one in failed[:1] if one.pid is not None]
    reason = next(filter(None, map(last_words, own)), "") or error_in_log(server.log)
    return f"{cause}; the log says: {reason}" if reason else cause


def _faults_that_hold(server: ServerProcess) -> str:
    """Say which faults may keep the workers that live and do not listen."""
    entries = server.journal.entries
    gone = {entry.worker for entry in entries if entry.event in ("listening", "exit")}
    waiting = [one for one in worker_ids(entries) if one not in gone]
    faults = {fault.detail for one in waiting for fault in lasting(entries) if fault.injected and fault.concerns(one)}
    if not faults:
        return ""
    return f"; worker {', '.join(map(str, waiting))} did not listen (injected: {', '.join(sorted(faults))})"
