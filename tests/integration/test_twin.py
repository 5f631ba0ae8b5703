"""Programs spelt as on Node: calls, signals, ends, streams, requests, in real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stage import Play


def test_servers_and_environments_as_node_spells_them(play: Play) -> None:
    """``listen(port, callback)``, ``listen(path, callback)``, ``listen({…}, callback)``; ``fork({"PORT": 8000})``."""
    trace = play("""
        if cluster.is_primary:
            os.environ["GONE"] = "x"
            cluster.fork({"PORT": 8000, "DEBUG": True, "GONE": None})
            cluster.on("listening", lambda worker, address: trace("listening", address.address_type))
            cluster.on("exit", lambda worker: trace("exit", worker.process.exit_code))
        else:
            trace(os.environ["PORT"], os.environ["DEBUG"], "GONE" in os.environ)
            def third():
                trace("third")
                process.exit(3)
            def second():
                trace("second")
                http.create_server(lambda environ, start: []).listen({"port": 0, "host": "127.0.0.1"}, third)
            def first():
                trace("first")
                net.create_server(lambda sock: None).listen("s.sock", 5, second)
            net.create_server().listen(0, "127.0.0.1", 5, first)
    """)
    assert trace["W1"] == ["8000 true false", "first", "second", "third"]
    assert trace["P"][:2] == ["listening 4", "listening -1"]
    assert trace["P"][-1] == "exit 3"


def test_signals_of_script_processes(play: Play) -> None:
    """A handler stands in place of the signal's own action, in either role; without one it kills again."""
    trace = play("""
        if cluster.is_primary:
            process.on("SIGTERM", lambda name, number: (trace(name, number), process.off("SIGTERM", print)))
            process.on("SIGCHLD", lambda: trace("SIGCHLD"))
            worker = cluster.fork()
            worker.on("message", lambda: worker.process.kill("SIGTERM"))
            worker.on("exit", lambda code, signal: trace("exit", code, signal))
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            def again(name):
                trace(name, signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL)
                process.send("again")
            process.once("SIGTERM", again)
            process.send("ready")
    """)
    assert trace["P"][0] == "SIGTERM 15"
    assert "exit - SIGTERM" in trace["P"]
    assert "SIGCHLD" in trace["P"]
    assert trace["W1"] == ["SIGTERM true"]


@pytest.mark.table(quick=["process.exit(3)-3", "sys.exit()-0", "process.disconnect()-0"])
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("cluster.worker.disconnect()", 0),
        ("process.exit(3)", 3),
        ("sys.exit(4)", 4),
        ("sys.exit()", 0),
        ("process.disconnect()", 0),
        ("process.exit_code = 5; cluster.worker.disconnect()", 5),
        ("process.on('message', lambda: sys.exit(6)); process.send(1)", 6),
    ],
)
def test_exit_is_told_at_every_end(play: Play, end: str, code: int) -> None:
    """Once, in the worker; then in the primary, whose last event it is."""
    trace = play(f"""
        process.on("exit", lambda code: trace("exit", code))
        if cluster.is_primary:
            process.on("beforeExit", lambda: trace("beforeExit"))
            worker = cluster.fork()
            worker.on("message", lambda m: worker.send(m))
        else:
            {end}
    """)
    assert trace["W1"] == [f"exit {code}"]
    assert trace["P"] == ["beforeExit", "exit 0"]


def test_before_exit_may_begin_something(play: Play) -> None:
    """Then it comes again, until nothing is left; the code may be changed to the end."""
    trace = play(
        """
        import gevent
        turns = []
        def more():
            turns.append(1)
            trace("beforeExit", len(turns))
            if len(turns) < 3:
                if cluster.is_primary:
                    cluster.call_later(0.01, trace, "more")
                else:
                    gevent.spawn_later(0.01, trace, "more")
        process.on("beforeExit", more)
        if cluster.is_primary:
            process.on("exit", lambda: setattr(process, "exit_code", 9))
            cluster.fork()
        else:
            cluster.worker.disconnect()
        """,
        code=9,
    )
    expected = ["beforeExit 1", "more", "beforeExit 2", "more", "beforeExit 3"]
    assert (trace["P"], trace["W1"]) == (expected, expected)


def test_events_of_the_process_of_a_worker(play: Play) -> None:
    """Node's arguments, each after the worker's and the cluster's; ``close`` when the pipes have ended, too."""
    trace = play("""
        if cluster.is_primary:
            cluster.setup_primary(stdio=["pipe", "pipe", "inherit", "ipc"])
            worker = cluster.fork()
            for event in ("spawn", "fork", "message", "disconnect", "exit", "close"):
                if event not in ("spawn", "close"):
                    worker.on(event, lambda *args, event=event: trace("worker", event))
                if event != "fork":
                    worker.process.on(event, lambda *args, event=event: trace("process", event, *args))
        else:
            print("unheard")
            process.send("hello")
            cluster.worker.disconnect()
    """)
    assert trace["P"] == [
        "process spawn",
        "worker fork",
        "worker message",
        "process message hello -",
        "worker disconnect",
        "process disconnect",
        "worker exit",
        "process exit 0 -",
        "process close 0 -",
    ]


def test_message_for_the_process_alone(play: Play) -> None:
    """One that only ``worker.process`` listens for is delivered; so is one that came before the listener, in both."""
    trace = play("""
        if cluster.is_primary:
            worker = cluster.fork()
            worker.send("early")
            worker.request("the message has come", print)
            worker.on("request", lambda _, reply: (worker.process.on("message", heard), reply(None)))
            def heard(message):
                trace(message)
                worker.disconnect()
        else:
            process.on("request", lambda _, reply: (process.on("message", heard), reply(None)))
            def heard(message):
                trace(message)
                process.send("reply")
                process.request("the message has come", print)
    """)
    assert (trace["W1"], trace["P"]) == (["early"], ["reply"])


def test_further_streams_in_both_directions(play: Play) -> None:
    """Any number of them, however many descriptors the primary has; files that it had open disturb none."""
    trace = play("""
        N = 24
        if cluster.is_primary:
            files = [open(os.devnull) for _ in range(7)]
            cluster.setup_primary(stdio=["inherit", "inherit", "inherit", "ipc"] + ["pipe", "ignore"] * (N // 2))
            net.create_server().listen(0, "127.0.0.1", lambda: cluster.call_later(0, start))
            def start():
                del globals()["files"]
                workers = [cluster.fork(), cluster.fork()]
                seen = {worker.id: [] for worker in workers}
                for worker in workers:
                    for number in range(4, 4 + N, 2):
                        pipe = worker.process.stdio[number]
                        pipe.write(f"{number}")
                        pipe.end()
                        pipe.on("data", lambda data, seen=seen[worker.id]: seen.append(int(data)))
                    assert worker.process.stdio[5] is None
                    worker.process.on("close", lambda *_, seen=seen[worker.id]: trace(sorted(seen)))
                worker.process.on("close", lambda: process.exit(0))
                workers[0].on("exit", lambda: workers[1].send("now"))
                workers[0].send("now")
        else:
            import gc
            gc.collect()
            for number in range(4, 4 + N, 2):
                said = b""
                while data := os.read(number, 100):
                    said += data
                os.write(number, said)
            process.on("message", lambda: cluster.worker.disconnect())
    """)
    assert trace["P"] == ["[4,6,8,10,12,14,16,18,20,22,24,26]"] * 2


def test_calls_that_cannot_work_end_the_worker_by_a_sentence(play: Play) -> None:
    """None leaves one that neither listens nor ends; a stream that is not open is a spawn that failed, as in Node."""
    trace = play(
        """
        calls = [
            lambda: net.create_server().listen(0, "a" * 300),
            lambda: net.create_server().listen(fd=2**40),
            lambda: net.create_server().listen(fd=999),
            lambda: net.create_server().listen("/nonexistent/s.sock"),
            lambda: net.create_server().emit("connection", 5),
            lambda: dgram.create_socket("udp4").bind(0, "a" * 300),
            lambda: dgram.create_socket("udp4").send(b"x", 5, "a" * 300),
            lambda: dgram.create_socket("udp4").send(b"x" * 70000, 5),
        ]
        if cluster.is_primary:
            for number in range(len(calls)):
                cluster.fork({"CALL": number})
            cluster.on("exit", lambda worker, code: trace("exit", code))
            def refused():
                cluster.setup_primary(stdio=["inherit", 999, sys.stderr, "ipc"])
                cluster.fork().on("error", lambda error: trace(error.errno))
            cluster.call_later(0, refused)
        else:
            calls[int(os.environ["CALL"])]()
        """,
        quiet=False,
    )
    assert sorted(trace["P"]) == ["9"] + ["exit 1"] * 8


REQUESTS = """
    from nodecluster_compat.errors import ChannelClosed, RequestFailed, RequestTimedOut, WouldBlock
    import gevent, threading

    def outcome(call, *args, **named):
        try:
            trace(call(*args, **named))
        except Exception as error:
            trace(type(error).__name__)

    if cluster.is_primary:
        cluster.on("request", lambda worker, message, reply: reply([worker.id, message]))
        worker = cluster.fork()
        outcome(worker.request, "from the script")
        outcome(worker.request, "never", timeout=0.05)
        outcome(worker.request, "fail")
        outcome(worker.request, object())
        def in_handler():
            outcome(worker.request, "from a handler")
            worker.request("by callback", lambda error, reply: (trace(error, reply), server()))
        def server():
            net.create_server(serve).listen(0, "127.0.0.1", connect)
        def connect():
            waiting = gevent.spawn(outcome, worker.request, "from a greenlet")
            waiting.link(lambda _: threading.Thread(target=last).start())
        def serve(sock):
            pass
        def last():
            outcome(worker.request, "from a thread")
            outcome(worker.request, "die")
            cluster.call_soon_threadsafe(process.exit)
        cluster.call_later(0, in_handler)
    else:
        gevent.sleep(0.05)
        def asked(message, reply):
            if message == "fail":
                reply.fail("no")
            elif message == "die":
                process.exit(0)
            elif message != "never":
                reply(process.request(message))
        process.on("request", asked)
"""


def test_requests(play: Play) -> None:
    """From everywhere that may wait, in both directions; each way in which one can end."""
    assert play(REQUESTS)["P"] == [
        '[1,"from the script"]',
        "RequestTimedOut",
        "RequestFailed",
        "MessageNotSerializable",
        "WouldBlock",
        '- [1,"by callback"]',
        '[1,"from a greenlet"]',
        '[1,"from a thread"]',
        "ChannelClosed",
    ]


def test_servers_of_a_primary_have_their_socket_at_once(play: Play) -> None:
    """``listen()`` of a port binds before it returns; what ``close()`` has to tell is told before the program ends."""
    trace = play("""
        server = net.create_server()
        server.on("close", lambda: trace("close")).listen(0)
        trace(server.listening, server.address().port > 0)
        other = http.create_server(lambda environ, start: []).listen({"path": "s.sock"}, lambda: trace("never"))
        taken = net.create_server().listen(server.address().port).on("error", lambda error: trace(error.code))
        other.close(lambda error: trace("closed", error))
        net.create_server().close(lambda error: trace(error.code))
        server.close(lambda error: trace("closed", error))
    """)
    assert trace["P"][0] == "true true"
    assert sorted(trace["P"][1:]) == ["EADDRINUSE", "ERR_SERVER_NOT_RUNNING", "close", "closed -", "closed -"]


ELSEWHERE = """
from nodecluster_compat import cluster, process
import os
if cluster.is_primary:
    os.mkdir("folder")
    os.chdir("folder")
    cluster.setup_primary(cwd="/")
    cluster.fork().on("exit", lambda code: print("exit", code))
else:
    print(os.getcwd(), flush=True)
    process.exit(0)
"""


@pytest.mark.slow
def test_workers_of_another_folder_run_the_same_script(tmp_path: Path) -> None:
    """However it was named; ``cwd`` is theirs alone, and so is what the primary changes itself."""
    (tmp_path / "program.py").write_text(ELSEWHERE)
    command = [sys.executable, "-m", "nodecluster_compat", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "/\nexit 0\n"
