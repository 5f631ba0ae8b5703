"""What every scenario has: a trace of lines "observer what ...", and a watch on every event of the cluster."""

import json
import os
import socket
import threading

from nodecluster_compat import cluster, process

__all__ = [
    "ask",
    "attempt",
    "cluster",
    "flags",
    "get",
    "later",
    "process",
    "trace",
    "trace_as",
    "watch",
    "watch_worker",
]


def show(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseException):
        return getattr(value, "code", None) or type(value).__name__
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def trace_as(observer, *values):
    os.write(1, f"{observer} {' '.join(map(show, values))}\n".encode())


def trace(*values):
    trace_as("P" if cluster.is_primary else f"W{cluster.worker.id}", *values)


def spread(value):
    if hasattr(value, "address_type"):
        return ["address", value.address_type, value.address, "some" if value.port > 0 else value.port, value.fd]
    return [value]


def flags(w):
    return [w.state, w.exited_after_disconnect, w.is_dead(), w.is_connected()]


def later(seconds, call):
    """Node's setTimeout, in either role."""
    if cluster.is_primary:
        return cluster.call_later(seconds, call)
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


def watch(*events):
    for event in events or ("fork", "online", "listening", "disconnect", "exit"):
        cluster.on(event, _cluster_line(event))


def _cluster_line(event):
    return lambda w, *args: trace_as(f"P{w.id}", "cluster", event, *[s for a in args for s in spread(a)])


def watch_worker(w):
    for event in ("online", "listening", "disconnect", "exit"):
        w.on(event, _worker_line(w, event))
    return w


def _worker_line(w, event):
    return lambda *args: trace_as(f"P{w.id}", "worker", event, *[s for a in args for s in spread(a)], *flags(w))


def get(where, done):
    """Ask for a page, call back with all that comes."""
    ask(where, done, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def ask(where, done, question=b""):
    """Connect, send, read to the end, call back in the primary with the text."""

    def talk():
        try:
            family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
            with socket.socket(family) as client:
                client.settimeout(20)
                client.connect(where if isinstance(where, str) else ("127.0.0.1", where))
                client.sendall(question)
                text = b""
                while data := client.recv(65536):
                    text += data
            answer = text.decode()
        except OSError as error:
            import errno

            answer = errno.errorcode.get(error.errno, "ERROR")
        finish = cluster.call_soon_threadsafe if cluster.is_primary else lambda call: call()
        finish(lambda: done(answer))

    # An open question keeps the primary alive, as a socket does in Node.
    if cluster.is_primary:
        hold = cluster.call_later(60, lambda: None)
        answered, done = done, lambda text: (hold.cancel(), answered(text))
    threading.Thread(target=talk, daemon=True).start()


def attempt(what, call):
    try:
        call()
        trace(what, "fine")
    except Exception:
        trace(what, "throws")
