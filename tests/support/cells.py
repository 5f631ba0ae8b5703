"""One cell of the matrix: bring a worker to a moment, let a fault happen there, see it through, check what must hold.

What must hold afterwards is the same for all cells (:func:`check`), so one cluster serves many of them: that it is as
it was before is the invariant itself.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from injuries import fill, injure, queued
from invariants import Before, check, check_ended, check_report
from moments import Fault, Moment
from witness import Acks, Witness, witnesses

from pytest_cluster import Cluster, JournalEntry, ProcessGone, ReloadReport
from pytest_cluster.waiting import poll
from pytest_cluster.wire.remote import function_record, value_of

__all__ = ["Cell"]

PATIENCE: Final = 40.0
BOUND: Final = 1024 * 1024
SERVED_MEANWHILE: Final = 3


class Cell:
    """A fault at a moment, on a cluster that is as it should be.

    Args:
        cluster: of ``pid_echo:app``; of no further use when the moment is the server's end.
        acks: what its primary notes.
    """

    def __init__(self, cluster: Cluster, acks: Acks, fault: Fault, moment: Moment) -> None:
        self.cluster = cluster
        self.fault = fault
        self.moment = moment
        self._acks = acks
        self._marker = Path(cluster.server.folder) / f"marker-{cluster.journal.last_seq}"
        self._reports: list[ReloadReport] = []
        self._reloading: threading.Thread | None = None
        self._gate: Any = None

    def run(self) -> None:
        """Do all of it.

        Raises:
            AssertionError: what must hold does not.
            ClusterError: what must happen does not.
        """
        self._acks.forget()
        before = Before.of(self.cluster)
        if self.fault.effect == "passes":
            self._marker.touch()
        with ExitStack() as stack:
            witness = stack.enter_context(witnesses(self.cluster, clients=3))
            victim = self._bring(stack)
            self._wait(self._has_struck, "the fault to happen")
            self._see_through(victim, witness)
            witness.finish()
        self.cluster.faults.undo()
        if self.moment.way == "shutdown":
            check_ended(self, before, victim, witness, self._acks)
        else:
            check(self, before, victim, witness, self._acks)

    @property
    def goes_on(self) -> bool:
        """Whether the worker lives on: nothing has ended it, and nobody has asked it to leave."""
        return self.fault.effect == "passes" and self.moment.way in ("successor", "asked", "reload")

    # --- bringing it there ---------------------------------------------------------------------

    def _bring(self, stack: ExitStack) -> int:
        cluster, way = self.cluster, self.moment.way
        if way in ("successor", "reload"):
            victim = 1 + max(worker.id for worker in cluster.every_worker)
            self._arm(victim)
            if way == "successor":
                cluster.workers[0].kill()
            else:
                self._reload(stack)
            return victim
        if way == "upgrade":
            self._arm(1)  # of the new master: no worker that comes here has that number
            cluster.primary.signal("SIGUSR2")
            return 1
        worker = cluster.workers[0]
        if way != "asked":
            self._gate = stack.enter_context(cluster.faults.hold("request", worker=worker))
            self._gate.wait_reached(timeout=PATIENCE)
        self._arm(worker)
        if way == "disconnected":
            worker.disconnect()
        elif way == "old":
            self._reload(stack)
        elif way == "shutdown":
            cluster.primary.signal("SIGTERM")
        return worker.id

    def _arm(self, worker: Any) -> None:
        args = (str(self._marker),) if self.fault.effect == "passes" else self.fault.args
        try:
            self.cluster.faults.at(
                self.moment.step, injure, str(self._marker), self.fault.function, *args, worker=worker
            )
        except ProcessGone:  # of several threads one was at that step before another had answered
            if not self._has_struck():
                raise

    def _has_struck(self) -> bool:
        return Path(f"{self._marker}.struck").exists()

    def _reload(self, stack: ExitStack) -> None:
        thread = threading.Thread(target=lambda: self._reports.append(self.cluster.reload(timeout=PATIENCE)))
        self._reloading = thread
        thread.start()
        stack.callback(thread.join, PATIENCE)

    # --- seeing it through ---------------------------------------------------------------------

    def _see_through(self, victim: int, witness: Witness) -> None:
        if self.fault.effect == "passes":
            self._fill(victim)
        if self.fault.effect in ("passes", "blocks"):
            self._see_others_served(witness)
        self._marker.unlink(missing_ok=True)
        if self._gate is not None and self.fault.effect != "blocks":
            self._gate.release()
        if self.fault.effect == "hurts":
            self._end_if_useless()
        if self.moment.way == "upgrade":
            self._end_upgrade()
        elif self.moment.way == "shutdown":
            self._wait(self.cluster.server.ended, "the end of the server")
        elif self.goes_on:
            self._wait(lambda: not self._in_primary(queued, victim), "the channel to be read")
        else:
            self.cluster.journal.wait_for("exit", worker=victim, timeout=PATIENCE)
        if self._reloading is not None:
            self._reloading.join(PATIENCE)
            check_report(self, self._reports, victim=victim)

    def _fill(self, victim: int) -> None:
        """The primary sends until nothing more is taken: refused, and no harm done."""
        assert self._in_primary(fill, victim, BOUND)

    def _see_others_served(self, witness: Witness) -> None:
        if self.moment.way in ("disconnected", "old"):  # the clients may all be with the one that leaves
            assert {self.cluster.get("/").status for _ in range(SERVED_MEANWHILE)} == {200}
        elif self.moment.way != "shutdown":
            count = len(witness.asked) + SERVED_MEANWHILE
            self._wait(lambda: len(witness.asked) >= count, "answers by the other workers")

    def _end_if_useless(self) -> None:
        """What the kernel does with a process that has taken all memory, should that not have ended by itself."""
        pid = int(Path(f"{self._marker}.struck").read_text())
        if self.moment.way != "upgrade" and not poll(lambda: not os.path.exists(f"/proc/{pid}"), 1.0):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end_upgrade(self) -> None:
        later = self.cluster.journal.later
        master = self._wait(lambda: later and later[-1].primary, "the new master")
        if self._gets_ready(later, master):
            os.kill(master, signal.SIGTERM)
        self._wait(lambda: not os.path.exists(f"/proc/{master}"), "the end of the new master")
        later.clear()

    def _gets_ready(self, later: list[JournalEntry], master: int) -> bool:
        """Whether the new master does: the fault passes, or its worker had listened before the master saw it."""

        def listening() -> set[int]:
            return {one.worker for one in later if one.event == "listening"}

        if self.fault.exact and self.fault.effect != "passes":
            return False
        wanted = self.cluster.options.workers
        self._wait(
            lambda: len(listening()) >= wanted or not os.path.exists(f"/proc/{master}"), "the new master to be ready"
        )
        ready = len(listening()) >= wanted
        assert ready or self.fault.effect != "passes"
        return ready

    def _in_primary(self, function: Any, *args: Any) -> Any:
        """Run a function in the victim's primary."""
        pid = self.cluster.primary.pid
        if self.moment.way == "upgrade":
            pid = self._wait(lambda: self.cluster.journal.later and self.cluster.journal.later[-1].primary, "it")
        record = function_record(function)
        return value_of(self.cluster.server.control.call(pid, "run", (record, args, {}), timeout=PATIENCE), str(pid))

    def _wait(self, check: Any, what: str) -> Any:
        return self.cluster.wait_for(lambda _: check(), reason=what, timeout=PATIENCE)
