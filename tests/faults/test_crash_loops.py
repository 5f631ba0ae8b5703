"""Workers that keep failing (difference D10): few forks, a state that says so, service once the cause has gone."""

from __future__ import annotations

from typing import Final

import pytest
from deploy import CONF, DEPLOYED, write
from raw_http import folder_of
from remote_control import REMOTE, ask, said, wait, wait_logged, wait_said

from pytest_cluster import Cluster, ClusterFactory, StartError

DIES: Final = "import gevent, os; gevent.spawn_later(0.2, os._exit, 9)"


def fail(cluster: Cluster, **deploy: str) -> None:
    """Deploy something broken and end the workers that run, one after another."""
    write(cluster, **deploy)
    for worker in cluster.workers:
        worker.kill()


@pytest.mark.table(quick=["deploy0"])
@pytest.mark.timeout(120)
@pytest.mark.cluster(**DEPLOYED, workers=4)
@pytest.mark.parametrize("deploy", [{"after_boot": DIES}, {"at_import": "raise ImportError('broken on purpose')"}])
def test_crash_loop_degrades_and_heals(cluster: Cluster, deploy: dict[str, str]) -> None:
    """A few forks, one line and one event; the changed file brings everything back, without a signal."""
    fail(cluster, **deploy)
    (line,) = wait_said(cluster, told="degraded")
    assert line["what"]["state"] == "degraded"
    assert line["what"]["faults"] == 4
    assert "with code" in line["what"]["last_fault"]
    assert len(said(cluster, told="fork")) <= 8  # four at the start, four once each
    wait_logged(cluster, "Workers keep failing")
    assert cluster.log.count("Workers keep failing") == 1

    write(cluster, version="2", **dict.fromkeys(deploy, ""))
    cluster.wait_listening(4)
    assert {cluster.get("/").text for _ in range(8)} == {"2"}
    wait_logged(cluster, "The application's files have changed")
    assert len(said(cluster, told="degraded")) == 1


HEALS: Final = CONF + "cluster.setup_primary(restart_stable=1, restart_delay=0.2)\n"


@pytest.mark.cluster(app="deployed:app", config=HEALS, workers=2)
def test_state_is_degraded_until_a_worker_has_proved_sound(cluster: Cluster) -> None:
    """The event ``recovered`` comes by itself, once."""
    fail(cluster, after_boot=DIES)
    wait_said(cluster, told="degraded")
    write(cluster, after_boot="")
    (line,) = wait_said(cluster, told="recovered")
    assert line["what"]["state"] == "running"
    assert len(cluster.wait_listening(2)) == 2
    wait_logged(cluster, "Workers run again")
    assert cluster.log.count("Workers run again") == 1


@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_reload_ends_the_pause(cluster: Cluster) -> None:
    """HUP is the operator's word that the cause has gone, whatever it was."""
    (folder_of(cluster) / "cause").write_text("")
    fail(cluster, at_import=f"import os; os.path.exists({str(folder_of(cluster) / 'cause')!r}) and os._exit(1)")
    wait(lambda: len(said(cluster, told="exit", code=1)) >= 2, "two faults", cluster)
    (folder_of(cluster) / "cause").unlink()
    cluster.primary.signal("SIGHUP")
    wait_said(cluster, told="reloaded")
    assert len(cluster.wait_listening(2)) == 2


FORKS: Final = (
    CONF
    + """
cluster.setup_primary(restart_delay=0.2)
cluster.on('exit', lambda *args: cluster.fork())
"""
)


@pytest.mark.timeout(120)
@pytest.mark.cluster(app="deployed:app", config=FORKS, workers=2)
def test_program_that_forks_at_every_exit_makes_no_storm(cluster: Cluster) -> None:
    """What every Node program has in its exit handler waits for the same pause, and the number stays."""
    fail(cluster, after_boot=DIES)
    wait_said(cluster, told="degraded")
    assert len(said(cluster, told="fork")) <= 8
    write(cluster, after_boot="")
    assert len(cluster.wait_listening(2)) == 2


@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_killed_workers_are_replaced_at_once(cluster: Cluster) -> None:
    """SIGKILL from outside is no fault of theirs: no pause, no degraded state."""
    for _ in range(8):
        before = cluster.journal.last_seq
        cluster.wait_listening(2)[0].kill()
        cluster.journal.wait_for("listening", after=before)
    cluster.wait_listening(2)
    assert said(cluster, told="degraded") == []


LIMITED: Final = CONF + "timeout = 2\ncluster.setup_primary(boot_timeout=30)\n"


@pytest.mark.cluster(app="deployed:app", config=LIMITED, workers=1)
def test_slow_import_is_no_hang(cluster: Cluster) -> None:
    """``timeout`` is for workers that run: an import may take longer."""
    write(cluster, version="2", at_import="import time; time.sleep(2.5)")
    cluster.workers[0].kill()
    cluster.journal.wait_for("exit", worker=1)
    assert [one.id for one in cluster.wait_listening(1)] == [2]
    assert cluster.get("/").text == "2"
    assert "TIMEOUT" not in cluster.log


HANGS: Final = CONF + "cluster.setup_primary(boot_timeout=1, restart_delay=0.1)\n"


@pytest.mark.table(quick=["hang1"])
@pytest.mark.cluster(app="deployed:app", config=HANGS, workers=1)
@pytest.mark.parametrize(
    "hang",
    [
        "import time; time.sleep(600)",
        "import signal, os; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT]); os.read(os.pipe()[0], 1)",
    ],
)
def test_boot_that_hangs_is_ended(cluster: Cluster, hang: str) -> None:
    """ABRT, as gunicorn does it, and KILL a second later; it counts as a fault."""
    write(cluster, at_import=hang)
    cluster.workers[0].kill()
    wait(lambda: "WORKER BOOT TIMEOUT" in cluster.log, "the limit", cluster)
    cluster.journal.wait_for("exit", worker=2)
    assert "What worker" in cluster.log
    write(cluster, at_import="", version="2")
    assert cluster.wait_listening(1)[0].id > 2
    assert cluster.get("/").text == "2"


@pytest.mark.table(quick=["3"])
@pytest.mark.cluster(**DEPLOYED, workers=2)
@pytest.mark.parametrize("code", [3, 4])
def test_exit_codes_of_gunicorn_stop_nothing_after_the_first_boot(cluster: Cluster, code: int) -> None:
    """A running server outlives them."""
    write(cluster, at_import=f"import os; os._exit({code})")
    cluster.workers[0].kill()
    wait_said(cluster, told="exit", code=code)
    assert cluster.get("/").status == 200
    write(cluster, at_import="")
    cluster.wait_listening(2)
    assert cluster.returncode is None


@pytest.mark.table(quick=["4"])
@pytest.mark.parametrize("code", [3, 4])
def test_exit_codes_of_gunicorn_stop_the_first_boot(cluster_factory: ClusterFactory, code: int) -> None:
    """As gunicorn does: what never served is not worth keeping."""
    with pytest.raises(StartError, match=f"ended with exit code {code}"):
        cluster_factory(**DEPLOYED, env={"AT_IMPORT": f"import os; os._exit({code})"})


LEAVES: Final = "from nodecluster_compat import cluster; cluster.worker.disconnect()"
LEAVES_SOON: Final = "import gevent; from nodecluster_compat import cluster; gevent.spawn(cluster.worker.disconnect)"
SENT_AWAY: Final = CONF + (
    "import os\n"
    "cluster.setup_primary(restart_delay=0.2)\n"
    "cluster.on('listening', lambda worker, _: os.path.exists('at_import.py') and worker.disconnect())\n"
)
SHORT: Final = CONF + "cluster.setup_primary(restart_delay=0.2)\n"


@pytest.mark.table(quick=["sent away"])
@pytest.mark.parametrize(
    ("config", "source"),
    [
        pytest.param(SHORT, LEAVES, id="at import"),
        pytest.param(SHORT, LEAVES_SOON, id="at once"),
        pytest.param(SHORT, "import os, gevent; gevent.spawn(os.kill, os.getpid(), 15)", id="TERM to itself"),
        pytest.param(SENT_AWAY, "pass", id="sent away"),
    ],
)
def test_workers_that_leave_at_once_are_a_crash_loop(cluster_factory: ClusterFactory, config: str, source: str) -> None:
    """Orderly as each end is: nobody is served."""
    cluster = cluster_factory(app="deployed:app", config=config, workers=2)
    before = len(said(cluster, told="fork"))
    fail(cluster, at_import=source)
    (line,) = wait_said(cluster, told="degraded")
    assert "left" in line["what"]["last_fault"]
    assert len(said(cluster, told="fork")) - before <= 10
    (folder_of(cluster) / "at_import.py").unlink()
    cluster.wait_listening(2)
    assert cluster.get("/").status == 200


@pytest.mark.cluster(**REMOTE, workers=2, settings={"max_requests": 1})
def test_worker_that_leaves_after_one_request_is_no_fault(cluster: Cluster) -> None:
    """``max_requests = 1``: as busy as its clients, and replaced at once every time."""
    for _ in range(8):
        assert cluster.get("/").status == 200
    assert ask(cluster, "primary", "result = cluster.status.faults") == 0
    assert cluster.journal.wait_for("exit").exited_after_disconnect is True
