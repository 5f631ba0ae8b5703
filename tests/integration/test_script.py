"""The ``nodecluster`` command: how a script starts, ends and fails; servers in every kind of process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_http import make_certificate, until
from stage import Play

COMMAND = os.path.join(os.path.dirname(sys.executable), "nodecluster")


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([COMMAND, *args], cwd=cwd, capture_output=True, text=True, timeout=50, check=False)


def test_script_that_does_not_exist(tmp_path: Path) -> None:
    """A sentence and the code of a wrong command line."""
    done = run("nowhere.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a Python file, got 'nowhere.py', which does not exist" in done.stderr


def test_script_that_raises(tmp_path: Path) -> None:
    """Its traceback, without a line of ours; code 1; no worker is left."""
    (tmp_path / "s.py").write_text(
        "from nodecluster_compat import cluster\nif cluster.is_primary:\n    w = cluster.fork()\n"
        "    print(w.process.pid)\n    raise RuntimeError('accident')\n"
    )
    done = run("s.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "accident" in done.stderr
    assert "nodecluster_compat" not in done.stderr
    until(lambda: not os.path.exists(f"/proc/{done.stdout.strip()}"), "the end of the worker")


@pytest.mark.table(quick=["sys.exit(7)-7"])
@pytest.mark.parametrize(("source", "code"), [("sys.exit(7)", 7), ("sys.exit()", 0), ("sys.exit('why')", 1)])
def test_script_that_exits(tmp_path: Path, source: str, code: int) -> None:
    """As Python does it, text and all."""
    (tmp_path / "s.py").write_text(f"import sys\n{source}\n")
    done = run("s.py", cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr == ("why\n" if "why" in source else "")


def test_script_that_never_forks_ends(play: Play) -> None:
    """Nothing to wait for: it ends after its last line, arguments and main module as for any script."""
    trace = play("trace(__name__, sys.argv[1:], sys.modules['__main__'].__name__)", "a", "-b", "--c")
    assert trace["P"] == ['__main__ ["a","-b","--c"] __main__']


PRINTS = """
import sys
from nodecluster_compat import cluster
if cluster.is_primary:
    cluster.fork().on("exit", lambda *_: print("primary", "done"))
else:
    print("one", 2, [3])
    print("several\\nlines", "of text", sep="\\n")
    print("no end", end="", flush=True)
    print()
    print("an", "error", file=sys.stderr)
    print("a" * 3000, "b")
    sys.exit()
"""


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_each_print_is_written_in_one_piece(tmp_path: Path, unbuffered: str) -> None:
    """Several processes have one pipe: what one of them prints is not torn by another."""
    (tmp_path / "s.py").write_text(PRINTS)
    reading, writing = os.pipe2(os.O_DIRECT)  # keeps apart what was written apart
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open(reading, "rb", buffering=0) as pipe:
        process = subprocess.Popen([COMMAND, "s.py"], cwd=tmp_path, stdout=writing, stderr=writing, env=env)
        os.close(writing)
        pieces = [piece.decode() for piece in iter(lambda: pipe.read(8192), b"")]
        assert process.wait() == 0
    assert pieces == [
        "one 2 [3]\n",
        "several\nlines\nof text\n",
        "no end",
        "\n",
        "an error\n",
        f"{'a' * 3000} b\n",
        "primary done\n",
    ]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A script that serves on a unix socket and says so."""
    (tmp_path / "s.py").write_text(
        "from nodecluster_compat import cluster, net\n"
        "if cluster.is_primary:\n"
        "    w = cluster.fork()\n"
        "    w.on('listening', lambda a: print(w.process.pid, flush=True))\n"
        "else:\n"
        "    net.create_server().listen(path='s.sock')\n"
    )
    process = subprocess.Popen(
        [COMMAND, "s.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.table(quick=["SIGTERM"])
@pytest.mark.parametrize(
    "number", [pytest.param(number, id=number.name) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
)
def test_signal_ends_everything_and_leaves_no_file(
    serving: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    """It dies of the signal, as any program; the worker goes with it, and so does the socket's file."""
    assert serving.stdout is not None
    worker = int(serving.stdout.readline())
    assert (tmp_path / "s.sock").exists()
    serving.send_signal(number)
    assert serving.wait(20) == -number
    assert not (tmp_path / "s.sock").exists()
    until(lambda: not os.path.exists(f"/proc/{worker}"), "the end of the worker")


def test_settings_of_gunicorn_count(play: Play, tmp_path: Path) -> None:
    """From setup_primary and from the environment: TLS, limits."""
    certificate = make_certificate(tmp_path)
    trace = play(
        f"""
        def app(environ, start):
            start('200 OK', [('Content-Length', '5')]); return [environ['wsgi.url_scheme'].encode()]
        if cluster.is_primary:
            import ssl, threading
            cluster.setup_primary(certfile={certificate.cert!r}, keyfile={certificate.key!r})
            w = cluster.fork()
            def talk(port, target):
                context = ssl._create_unverified_context()
                with context.wrap_socket(socket.create_connection(('127.0.0.1', port))) as c:
                    c.sendall(b'GET ' + target + b' HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
                    text = b''
                    while data := c.recv(1000): text += data
                return text.split(b'\\r\\n')[0].decode(), text[-5:].decode()
            def both(port):
                told = [talk(port, b'/'), talk(port, b'/' + b'a' * 100)]
                cluster.call_soon_threadsafe(lambda: (trace(told[0]), trace(told[1][0]), w.disconnect()))
            w.on('listening', lambda a: threading.Thread(target=both, args=(a.port,)).start())
        else:
            http.create_server(app).listen(0, '127.0.0.1')
    """,
        GUNICORN_CMD_ARGS="--limit-request-line 50 --workers 9",
        quiet=False,
    )
    assert trace["P"][0] == '["HTTP/1.1 200 OK","https"]'
    assert trace["P"][1].startswith("HTTP/1.1 4")


def test_status_of_a_script(play: Play, tmp_path: Path) -> None:
    """As in server mode, and in the file that was asked for; an end that nobody asked for is the last fault."""
    trace = play(
        """
        import json

        def shown():
            with open("status.json") as file:
                return json.load(file)

        def soon():
            if "status.json" in os.listdir() and shown()["last_fault"]:
                trace("file", shown()["state"], shown()["last_fault"])
                one.disconnect()
            else:
                cluster.call_later(0.05, soon)

        if cluster.is_primary:
            cluster.setup_primary(status_file="status.json")
            one, two = cluster.fork(), cluster.fork()

            @cluster.on("listening")
            def listening(worker, address):
                status = cluster.status
                if status.listening == 2:
                    trace(status.state, status.target, status.listening, status.booting, status.ending, status.faults)
                    two.send("end")

            @two.on("exit")
            def ended(code, signal):
                trace(code, cluster.status.faults, cluster.status.last_fault, cluster.status.target)
                soon()
        else:
            process.on("message", lambda *_: process.exit(3))
            net.create_server().listen(0)
        """,
    )
    assert trace["P"] == [
        "running 2 2 0 0 0",
        "3 1 exited with code 3 after it had listened 1",
        "file running exited with code 3 after it had listened",
    ]
    assert not (tmp_path / "status.json").exists()


def test_status_file_that_a_slow_disk_holds_up(play: Play, tmp_path: Path) -> None:
    """The script waits until its file is removed: no other program takes it for the status of one that runs."""
    play(
        """
        import time

        unlink = os.unlink

        def slow_unlink(path, **options):
            time.sleep(0.3)
            unlink(path, **options)

        if cluster.is_primary:
            cluster.setup_primary(status_file="status.json")
            one = cluster.fork()

            def soon():
                if "status.json" in os.listdir():
                    os.unlink = slow_unlink
                    one.disconnect()
                else:
                    cluster.call_later(0.05, soon)

            one.once("listening", lambda address: soon())
        else:
            net.create_server().listen(0)
        """,
    )
    assert not (tmp_path / "status.json").exists()


def test_setting_that_has_no_effect_in_a_script(play: Play) -> None:
    """A sentence, and nothing is changed."""
    trace = play(
        """
        try:
            cluster.setup_primary(max_worker_age=5, restart_delay=1, status_file="status.json")
        except ValueError as error:
            trace(str(error))
        try:
            cluster.setup_primary(routing="cookie")
        except ValueError as error:
            trace(str(error))
        trace(dict(cluster.settings))
        """
    )
    assert trace["P"] == [
        (
            "expected settings that have an effect in script mode, got max_worker_age, restart_delay: a script "
            "replaces its workers itself; use server mode, or leave it out"
        ),
        (
            "expected settings that have an effect in script mode, got routing: servers of a script do not only speak "
            "HTTP; use server mode, or leave it out"
        ),
        "{}",
    ]


def test_setting_that_gunicorn_does_not_take(play: Play) -> None:
    """The worker that would have it ends with a sentence."""
    trace = play(
        """
        if cluster.is_primary:
            cluster.setup_primary(keepalive='soon')
            cluster.fork().on('exit', lambda code, sig: trace(code))
    """,
        quiet=False,
    )
    assert trace["P"] == ["3"]


SERVERS = """
from nodecluster_compat import dgram, http, net

def app(environ, start):
    start('200 OK', [('Content-Length', '4')])
    return [b'http']

def heard(data, peer):
    print(data.decode(), flush=True)
    web.close(); raw.close(); udp.close()

def ready():
    print(raw.address().port, udp.address().port, web.address().port, flush=True)

web, raw = http.create_server(app), net.create_server(lambda sock, peer: sock.sendall(b'net'))
udp = dgram.create_socket('udp4', heard)
web.on('listening', ready)
udp.on('listening', lambda: web.listen(0, '127.0.0.1'))
raw.listen(0, '127.0.0.1', callback=lambda: udp.bind(0, '127.0.0.1'))
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [[COMMAND], [sys.executable]], ids=["primary", "plain program"])
def test_servers_work_without_workers(tmp_path: Path, command: list[str]) -> None:
    """http, net and dgram in a primary and in a program that no cluster started; it ends when they are closed."""
    (tmp_path / "s.py").write_text(SERVERS)
    process = subprocess.Popen(
        [*command, "s.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        raw, udp, web = map(int, process.stdout.readline().split())
        with socket.create_connection(("127.0.0.1", raw)) as client:
            assert client.recv(10) == b"net"
        with socket.create_connection(("127.0.0.1", web)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"".join(iter(lambda: client.recv(1000), b"")).endswith(b"\r\n\r\nhttp")
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(b"datagram", ("127.0.0.1", udp))
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "datagram\n", "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_server_that_cannot_listen_ends_a_plain_program(tmp_path: Path) -> None:
    """Nobody listens for the error: a traceback that says what, and code 1."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (tmp_path / "s.py").write_text(
            f"from nodecluster_compat import net\nnet.create_server().listen({port}, '127.0.0.1')\n"
        )
        for command in ([COMMAND], [sys.executable]):
            done = subprocess.run(
                [*command, "s.py"], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
            )
            assert done.returncode == 1
            assert f"listen EADDRINUSE 127.0.0.1:{port}" in done.stderr


@pytest.mark.timeout(300)  # it may have to install Node
def test_example_of_the_port(tmp_path: Path) -> None:
    """examples/node_port: both programs say the same."""
    from node import NODE_VERSIONS, node

    example = Path(__file__).parents[2] / "examples" / "node_port"
    said = []
    for command in ([COMMAND, "server.py"], [node(NODE_VERSIONS[-1]), "server.js"]):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 8000)) == 0:
                pytest.skip("port 8000 is in use on this machine")
        # Unbuffered, a line is two writes, and those of two workers mix.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen([*command, "2"], cwd=example, env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in range(3)]
            said.append([[word for word in line if not word.isdigit()] for line in lines])
        finally:
            process.terminate()
            process.communicate()
    assert said[0] == said[1] == [["Primary", "is", "running"], ["Worker", "started"], ["Worker", "started"]]


LATE_REQUEST = """
import gevent
from gevent import socket as sockets
if cluster.is_primary:
    cluster.setup_primary(request_timeout=0.3)
    cluster.fork()
else:
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        gevent.sleep(0 if environ["PATH_INFO"] == "/quick" else 60)
        return [b"ok"]

    def ask(port, path):
        client = sockets.create_connection(("127.0.0.1", port))
        client.sendall(b"GET %s HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n" % path)
        trace(path.decode(), client.recv(99).split(b"\\r\\n")[0].decode())

    def listening():
        for path in (b"/slow", b"/quick"):
            ask(server.address().port, path)
        process.exit()

    server = http.create_server(app).listen(0, "127.0.0.1", lambda: gevent.spawn(listening))
"""


def test_request_of_a_script_has_a_time_limit(play: Play) -> None:
    """As in server mode: 503, and the worker goes on."""
    assert play(LATE_REQUEST, quiet=False)["W1"] == [
        "/slow HTTP/1.1 503 Service Unavailable",
        "/quick HTTP/1.1 200 OK",
    ]
