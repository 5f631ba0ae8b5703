"""Reloads that work under load, and reloads that cannot: nobody loses a request, and the master lives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from deploy import CONF, DEPLOYED, reload, write
from injuries import closed_doors, held_connections
from kinds import every_kind, every_kind_slowly
from raw_http import APPS, folder_of, until
from remote_control import said, wait, wait_logged, wait_said
from witness import witnesses

from pytest_cluster import Cluster, assert_no_request_lost

SHOW_ENVIRONMENT: Final = (
    "import json, os\n"
    "facts = {'told': 'environment', 'other': os.environ.get('OTHER'), 'half': os.environ.get('HALF')}\n"
    "os.write(1, json.dumps(facts).encode() + b'\\n')\n"
)
LIMIT: Final = "cluster.setup_primary(boot_timeout=1)"
SLOW_IMPORT: Final = "import time; time.sleep(4)\n"


def versions(cluster: Cluster, count: int = 8) -> set[str]:
    """What the workers answer."""
    return {cluster.get("/").text for _ in range(count)}


BROKEN: Final = [
    pytest.param({"at_import": "raise ImportError('broken on purpose')"}, "exited with code 3", id="import error"),
    pytest.param(
        {"at_import": "import no_such_module"}, "exited with code 3", id="missing module", marks=pytest.mark.slow
    ),
    pytest.param(
        {"at_import": "import os; os._exit(7)"}, "exited with code 7", id="exit at import", marks=pytest.mark.slow
    ),
    pytest.param(
        {"at_import": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"},
        "SIGSEGV",
        id="crash at import",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        {"at_import": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"},
        "SIGKILL",
        id="killed",
        marks=pytest.mark.slow,
    ),
    pytest.param({"after_boot": "import sys; sys.exit(5)"}, "exited with code 5", id="exit in post_worker_init"),
    pytest.param(
        {"after_boot": "raise ValueError('on purpose')"},
        "exited with code 3",
        id="error in the hook",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        {"second": LIMIT, "at_import": SLOW_IMPORT * 5}, "did not listen within boot_timeout (1 s)", id="hang"
    ),
]


@pytest.mark.cluster(**DEPLOYED, workers=3)
@pytest.mark.parametrize(("deploy", "reason"), BROKEN)
def test_broken_deploy_then_hup(cluster: Cluster, deploy: dict[str, str], reason: str) -> None:
    """Every request is answered by the old code, the reload is reported as failed, and the next one works."""
    old = {worker.pid for worker in cluster.workers}
    write(cluster, version="1", **deploy)
    with cluster.client.load("/", concurrency=3, pause=0.01, timeout=30) as hits:
        report = reload(cluster)
        wait(lambda: hits.by_text().get("0", 0) > 100, "answers after the failure", cluster)
    assert_no_request_lost(hits)
    assert set(hits.by_text()) == {"0"}
    assert (report["state"], report["number"]) == ("failed", 1)
    assert reason in report["reason"]
    wait_logged(cluster, "Reload 1 failed: a worker of the new generation")
    assert {worker.pid for worker in cluster.wait_listening()} == old
    assert said(cluster, told="degraded") == []

    write(cluster, version="2", **dict.fromkeys(deploy, ""))
    assert reload(cluster)["state"] == "succeeded"
    cluster.wait_listening()
    assert versions(cluster) == {"2"}


@pytest.mark.cluster(**DEPLOYED, workers=1)
def test_reload_that_fails_while_it_hands_over_goes_back_to_the_old_address(cluster: Cluster) -> None:
    """`bind` has changed, the new worker listens and dies, its successor cannot boot: the old address is served on."""
    with cluster.faults.paused(cluster.workers[0]):
        request = cluster.client.submit("/", timeout=40)
        wait(
            lambda: cluster.primary.run(held_connections) == 1, "a connection that the old worker has to take", cluster
        )
        seen = cluster.journal.last_seq
        write(cluster, second="bind = 'unix:other.sock'")
        cluster.primary.signal("SIGHUP")
        new = cluster.journal.wait_for("listening", after=seen)
        wait(lambda: cluster.primary.run(closed_doors) == 1, "the old address to be handed over", cluster)
        write(cluster, at_import="raise ImportError('broken on purpose')")
        cluster.worker(new.worker).kill()
        wait_said(cluster, told="reload_failed")
    assert request.result().text == "0"
    assert versions(cluster) == {"0"}
    write(cluster, version="1", second="", at_import="")
    assert reload(cluster)["state"] == "succeeded"
    assert versions(cluster) == {"1"}


SECOND_BOOT_FAILS: Final = (
    "import os\n"
    "number = len(os.listdir('boots'))\n"
    "open(f'boots/{number}', 'w').close()\n"
    "if number == 1: raise ImportError('broken on purpose')\n"
)


@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_reload_that_fails_half_way_leaves_no_worker_on_the_new_address(cluster: Cluster) -> None:
    """One new worker listens where nobody will come, one old one has gone: both have to serve the old address."""
    (folder_of(cluster) / "boots").mkdir()
    write(cluster, second="bind = 'unix:other.sock'\ncluster.setup_primary(max_surge=1)", at_import=SECOND_BOOT_FAILS)
    assert reload(cluster)["state"] == "failed"

    def all_serve() -> bool:
        workers = cluster.wait_listening(2)
        return {cluster.get("/").worker for _ in workers} == {worker.id for worker in workers}

    wait(all_serve, "an answer from each worker", cluster)


@pytest.mark.cluster(**DEPLOYED, workers=2)
@pytest.mark.parametrize(
    "second",
    [
        "keepalive = 7; raise ValueError('broken on purpose')",
        pytest.param("this is no Python", marks=pytest.mark.slow),
        pytest.param("import sys; sys.exit(0)", marks=pytest.mark.slow),
        pytest.param("workers = 'many'", marks=pytest.mark.slow),
        "worker_class = 'no.such.Worker'",
        pytest.param("bind = '203.0.113.1:1'", marks=pytest.mark.slow),
        pytest.param("bind = 'unix:/no/such/folder/s'", marks=pytest.mark.slow),
        pytest.param("cluster.setup_primary(max_surge=-1)", marks=pytest.mark.slow),
        pytest.param("pidfile = '/no/such/folder/pid'", marks=pytest.mark.slow),
        "os.environ['NODECLUSTER_POLICY'] = 'least_conections'",
        pytest.param("raw_env += ['NODECLUSTER_ROUTING=mpc']", marks=pytest.mark.slow),
        "def on_reload(server): raise ValueError('on purpose')",
        pytest.param("def nworkers_changed(server, new, old): raise ValueError('on purpose')", marks=pytest.mark.slow),
    ],
)
def test_configuration_that_does_not_load_is_not_half_applied(cluster: Cluster, second: str) -> None:
    """Nothing of it is in force: no setting, no handler, no timer, no variable, no worker."""
    old = {worker.pid for worker in cluster.workers}
    lead = (
        "workers = 3\nraw_env = ['HALF=1']\nos.environ['OTHER'] = '1'\ncluster.setup_primary(colour='red')\n"
        "cluster.on('fork', lambda worker: say(half='handler'))\n"
        "cluster.call_later(0, lambda: say(half='timer'))\n"
        "cluster.on('setup', lambda settings: say(half='setup'))\n"
    )
    write(cluster, second=lead + second)
    report = reload(cluster)
    assert report["state"] == "failed"
    assert "configuration" in report["reason"]

    write(cluster, at_import=SHOW_ENVIRONMENT)
    cluster.primary.signal("SIGTTIN")
    cluster.wait_listening(3)
    assert said(cluster, told="environment") == [{"told": "environment", "other": None, "half": None}]
    assert {worker.pid for worker in cluster.workers} > old
    assert len(said(cluster, told="fork")) == 3
    assert [line for line in cluster.log.splitlines() if line.startswith('{"half"')] == []
    write(cluster, second="")
    assert reload(cluster)["state"] == "succeeded"
    cluster.wait_listening(2)


TICKING: Final = (
    CONF
    + """
def tick():
    say(told="tick")
    cluster.call_later(0.2, tick)
tick()
"""
)


@pytest.mark.cluster(app="deployed:app", config=TICKING, workers=2)
def test_generation_that_cannot_boot_takes_its_configuration_with_it(cluster: Cluster) -> None:
    """The new settings, sockets, handlers and timers go; the old handlers and timers are back."""
    write(
        cluster,
        version="1",
        at_import="raise ImportError('broken on purpose')",
        second="workers = 4\nbind = ['[::1]:0']\ncluster.on('exit', lambda *args: say(new='handler'))\n",
    )
    assert reload(cluster)["state"] == "failed"
    assert versions(cluster) == {"0"}
    cluster.wait_listening(2)
    write(cluster, at_import="")
    before = cluster.journal.last_seq
    cluster.workers[0].kill()
    cluster.journal.wait_for("exit", after=before)
    cluster.wait_listening(2)
    wait_said(cluster, told="exit", signal="SIGKILL")
    wait_said(cluster, len(said(cluster, told="tick")) + 2, told="tick")
    assert '{"new"' not in cluster.log
    assert {one.address_type for one in cluster.addresses} == {4}


@pytest.mark.slow
@every_kind_slowly
@pytest.mark.timeout(300)
@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_reloads_in_a_row_under_load_lose_nothing(cluster: Cluster) -> None:
    """An application that takes long to import, reloaded again and again: no request fails."""
    write(cluster, at_import="import time; time.sleep(0.7)")
    with cluster.client.load("/", concurrency=3, pause=0.01, timeout=30) as hits:
        for version in range(1, 6):
            write(cluster, version=str(version))
            assert reload(cluster)["state"] == "succeeded"
    assert_no_request_lost(hits)
    cluster.wait_listening()
    assert versions(cluster) == {"5"}


@pytest.mark.table(quick=["asgi"])
@every_kind
@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_no_change_of_workers_loses_a_request_of_kept_or_closing_clients(cluster: Cluster) -> None:
    """A reload, a worker more, a worker less, one that is asked to leave."""
    with witnesses(cluster, clients=6, kept=6) as witness:
        assert reload(cluster)["state"] == "succeeded"
        cluster.primary.signal("SIGTTIN")
        before = cluster.wait_listening(3)
        cluster.primary.signal("SIGTTOU")
        cluster.journal.wait_for("exit", predicate=lambda entry: entry.worker in {one.id for one in before})
        cluster.wait_listening(2)[0].disconnect()
        cluster.journal.wait_for("listening", predicate=lambda entry: entry.worker > before[-1].id)
        witness.finish()
    assert witness.failures == []


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(**DEPLOYED, workers=2, settings={"max_requests": 100})
def test_workers_that_have_served_enough_lose_no_request_of_kept_or_closing_clients(cluster: Cluster) -> None:
    """Those whose answer promised more have one more answer."""
    with witnesses(cluster, clients=6, kept=6) as witness:
        wait(lambda: sum(one.event == "exit" for one in cluster.journal.entries) >= 4, "four ends", cluster)
        witness.finish()
    assert witness.failures == []


@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_reload_that_is_superseded(cluster: Cluster) -> None:
    """A second HUP before the end of the first: what counts is the last one."""
    write(cluster, version="1", at_import="import time; time.sleep(600)")
    cluster.primary.signal("SIGHUP")
    wait_said(cluster, 3, told="fork")
    write(cluster, version="2", at_import="")
    cluster.primary.signal("SIGHUP")
    (report,) = wait_said(cluster, told="reloaded")
    assert report["what"]["number"] == 2
    (other,) = said(cluster, told="reload_failed")
    assert (other["what"]["number"], other["what"]["state"]) == (1, "superseded")
    cluster.wait_listening()
    assert versions(cluster) == {"2"}


@pytest.mark.cluster(**DEPLOYED, workers=4)
def test_rollout_keeps_max_surge(cluster: Cluster) -> None:
    """A quarter more by default, so here one boots at a time; an old one leaves when its successor listens."""
    assert reload(cluster)["state"] == "succeeded"
    cluster.wait_listening()
    booting = successors = drained = 0
    for entry in cluster.journal.entries:
        if entry.worker > 4:
            booting += (entry.event == "fork") - (entry.event == "listening")
            successors += entry.event == "listening"
            assert booting <= 1
        elif entry.event == "disconnect":
            drained += 1
            assert drained <= successors


CALLER: Final = (
    CONF
    + """
def called(report):
    say(told="callback", state=report.state, status=plain(cluster.status))
cluster.on("listening", lambda worker, address: worker.id == 2 and cluster.reload(called))
"""
)


@pytest.mark.cluster(app="deployed:app", config=CALLER, workers=2)
def test_reload_that_the_program_asks_for_calls_back(cluster: Cluster) -> None:
    """``cluster.reload(callback)`` is HUP, and the callback has the report."""
    (line,) = wait_said(cluster, told="callback")
    assert line["state"] == "succeeded"
    assert line["status"]["state"] == "running"
    assert line["status"]["reload"]["number"] == 1


STATUS: Final = CONF + "cluster.setup_primary(status_file='status.json')\n"


@pytest.mark.cluster(app="deployed:app", config=STATUS, workers=2)
def test_status_file_says_how_the_reload_ended(cluster: Cluster) -> None:
    """For the programs around the server."""
    path = folder_of(cluster) / "status.json"

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"state": None, "reload": None}
        return found

    wait(lambda: (status()["state"], status().get("listening")) == ("running", 2), "two workers", cluster)
    assert status()["pid"] == cluster.primary.pid
    write(cluster, at_import="raise ImportError('broken on purpose')")
    assert reload(cluster)["state"] == "failed"
    wait(lambda: (status()["reload"] or {}).get("state") == "failed", "the failure", cluster)
    assert "exited with code 3" in status()["reload"]["reason"]
    assert sorted(os.listdir(path.parent)).count("status.json") == 1


@pytest.mark.cluster(app="deployed:app", config=STATUS, workers=2)
def test_whoever_asks_gets_an_exit_status(cluster: Cluster) -> None:
    """0 for a reload that worked, 1 for one that did not, 2 for no server."""
    path = folder_of(cluster) / "status.json"
    wait(path.exists, "the status file", cluster)

    def command(file: Path = path) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "nodecluster_compat.reload", str(file), "--timeout", "40"]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    done = command()
    assert (done.returncode, done.stdout) == (0, "reload 1 succeeded: all workers are new\n"), done.stderr
    write(cluster, at_import="raise ImportError('broken on purpose')")
    done = command()
    assert done.returncode == 1
    assert done.stdout.startswith("reload 2 failed: a worker of the new generation exited with code 3"), done.stderr
    assert command(path.with_name("other")).returncode == 2
    cluster.stop()
    assert not path.exists()


MODULE: Final = CONF + "workers = 1\ncontrol_socket_disable = True\nbind = ['127.0.0.1:0']\n"


@pytest.mark.slow
def test_configuration_that_is_a_module_is_read_again(tmp_path: Path) -> None:
    """``-c python:package.module``: settings and handlers are replaced; a failure restores them."""
    module, log = tmp_path / "deployment" / "settings.py", tmp_path / "log"
    module.parent.mkdir()
    module.write_text(MODULE)

    def told(what: str) -> int:
        return log.read_text().count(what)

    command = [sys.executable, "-m", "gunicorn", "-c", "python:deployment.settings", "-k", "nodecluster_compat.Worker"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(APPS)])}
    with log.open("wb") as file:
        server = subprocess.Popen([*command, "deployed:app"], cwd=tmp_path, env=env, stdout=file, stderr=file)
    try:
        until(lambda: told('"told": "fork"') == 1, "the worker")
        until(lambda: told("Booting worker") == 1, "the worker")
        module.write_text(MODULE.replace("workers = 1", "workers = 2"))
        server.send_signal(signal.SIGHUP)
        until(lambda: told("Reload 1 succeeded") == told('"told": "exit"') == 1, "the reload")
        module.write_text(
            MODULE + "workers = 4\ncluster.on('exit', lambda *args: say(new='handler'))\nraise ValueError\n"
        )
        server.send_signal(signal.SIGHUP)
        until(lambda: told("Reload 2 failed"), "the end of the reload")
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
    assert told('"told": "fork"') == told('"told": "exit"') == 3  # by the handlers of one reading, not of two
    assert told('"new"') == 0
