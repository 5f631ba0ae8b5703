"""How a script's processes end by their own faults and by ``sys.exit()``, wherever they happen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stage import Play


def test_fault_ends_its_worker_wherever_it_happens(play: Play) -> None:
    """The event first, code 1, ``exit``: in a timer, a greenlet, a thread, a callback of the channel, the script."""
    trace = play(
        """
        import gevent, threading
        def boom(*_): raise RuntimeError('accident')
        FAULTS = {
            'timer': lambda: cluster.set_timeout(boom, 1),
            'interval': lambda: cluster.set_interval(boom, 1),
            'greenlet': lambda: gevent.spawn(boom),
            'thread': lambda: threading.Thread(target=boom).start(),
            'sent': lambda: process.send('x', callback=boom),
            'close': lambda: net.create_server().close(boom),
            'script': boom,
        }
        if cluster.is_primary:
            for how in FAULTS:
                w = cluster.fork({'HOW': how})
                w.on('exit', lambda code, sig, how=how: trace(how, code, sig))
        else:
            how = os.environ['HOW']
            process.on('uncaughtExceptionMonitor', lambda error, origin: trace_as(how, str(error)))
            process.on('exit', lambda code: trace_as(how, 'exit', code))
            FAULTS[how]()
        """,
        quiet=False,
    )
    ways = ["timer", "interval", "greenlet", "thread", "sent", "close", "script"]
    assert sorted(trace["P"]) == sorted(f"{how} 1 -" for how in ways)
    assert {how: trace[how] for how in ways} == {how: ["accident", "exit 1"] for how in ways}


def test_sys_exit_in_a_signal_handler_ends_the_worker(play: Play) -> None:
    """Idle, amid a request that waits, that computes, that has sent a part; a handler may send and set a timer, too."""
    trace = play(
        """
        import threading, time
        WAYS = ('idle', 'waits', 'computes', 'begun', 'timer')
        def talk(a):
            with socket.create_connection((a.address, a.port)) as c:
                c.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
                c.recv(1)
        if cluster.is_primary:
            for how in WAYS:
                w = cluster.fork({'HOW': how})
                w.on('listening', lambda a: threading.Thread(target=talk, args=(a,), daemon=True).start())
                w.on('message', lambda m, h, w=w, how=how: w.kill('SIGUSR1') if m == 'go' else trace(how, m))
                w.on('exit', lambda code, sig, how=how: trace(how, code, sig))
        else:
            how = os.environ['HOW']
            def handle(*_):
                process.send('handled')
                threading.Timer(60, print).start()  # waits for its thread, which the hub could not
                if how == 'timer':
                    cluster.set_timeout(sys.exit, 1, 6)
                else:
                    sys.exit(5)
            def compute():
                process.send('go')
                while True:
                    if how == 'waits':
                        time.sleep(60)
            def begin():
                yield b'begun'
                compute()
            def app(environ, start):
                if how != 'begun':
                    compute()
                start('200 OK', [])
                return begin()
            signal.signal(signal.SIGUSR1, handle)
            process.on('exit', lambda code: trace_as(how, 'exit', code))
            if how in ('idle', 'timer'):
                process.send('go')
            else:
                hosts = {'waits': '127.0.0.1', 'computes': '127.0.0.2', 'begun': '127.0.0.3'}  # not shared
                http.create_server(app).listen(0, hosts[how])
    """,
        quiet=False,  # a thread that has not ended is named
    )
    assert sorted(trace["P"]) == sorted(
        line
        for how in ("idle", "waits", "computes", "begun", "timer")
        for line in (f"{how} {6 if how == 'timer' else 5} -", f"{how} handled")
    )
    ends = [trace[how] for how in ("idle", "waits", "computes", "begun", "timer")]
    assert ends == [["exit 5"]] * 4 + [["exit 6"]]


PRIMARY_THAT_SERVES = """
import os, signal, socket, threading
from nodecluster_compat import http

def end():
    os.kill(os.getpid(), signal.{signal})
    while True:
        pass

def begin():
    yield b"begun"
    end()

def app(environ, start_response):
    if not {has_begun}:
        end()
    start_response("200 OK", [])
    return begin()

def ask():
    with socket.create_connection(("127.0.0.1", server.address().port)) as client:
        client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        while client.recv(99):
            pass

server = http.create_server(app)
server.listen(0, "127.0.0.1", callback=lambda: threading.Thread(target=ask, daemon=True).start())
"""


@pytest.mark.table(quick=[])
@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_signal_ends_a_primary_amid_a_request(tmp_path: Path, name: str, code: int, has_begun: bool) -> None:
    """As it would anywhere else, whether or not the answer has begun."""
    (tmp_path / "s.py").write_text(PRIMARY_THAT_SERVES.format(signal=name, has_begun=has_begun))
    command = os.path.join(os.path.dirname(sys.executable), "nodecluster")
    done = subprocess.run([command, "s.py"], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode in (code, 128 - code), done.stderr


def test_listener_of_the_primary_takes_what_nobody_caught(play: Play) -> None:
    """Of the script and of a handler; then it goes on, and nothing is logged."""
    trace = play("""
        def boom(*_): raise RuntimeError('accident')
        if cluster.is_primary:
            process.on('uncaughtException', lambda error, origin: trace(str(error), origin))
            cluster.set_timeout(boom, 1)
            cluster.set_timeout(trace, 20, 'goes on')
            boom()
    """)
    assert trace["P"] == ["accident uncaughtException"] * 2 + ["goes on"]


def test_handler_of_exit_that_exits_or_raises_is_the_last_and_decides_the_code(play: Play) -> None:
    """However the end came about; a clean-up that fails is seen."""
    trace = play(
        """
        WAYS = {
            'timer': lambda: cluster.set_timeout(lambda: process.exit(1), 1),
            'script': lambda: process.exit(1),
            'sys.exit': lambda: sys.exit(1),
            'message': lambda: process.on('message', lambda m, h: process.exit(1)),
            'nothing left': lambda: process.on('message', lambda m, h: cluster.worker.disconnect()),
            'raises': lambda: process.exit(0),
        }
        if cluster.is_primary:
            for how in WAYS:
                w = cluster.fork({'HOW': how})
                w.on('online', lambda w=w: w.send('end'))
                w.on('exit', lambda code, sig, how=how: trace(how, code, sig))
        else:
            how = os.environ['HOW']
            def end(code):
                if how == 'raises':
                    raise RuntimeError('clean-up failed')
                process.exit(12)
            process.on('exit', end)
            process.on('exit', lambda code: trace_as('late', how))
            WAYS[how]()
        """,
        quiet=False,
    )
    ends = ["timer", "script", "sys.exit", "message", "nothing left"]
    assert sorted(trace["P"]) == sorted([*(f"{how} 12 -" for how in ends), "raises 1 -"])
    assert "late" not in trace
