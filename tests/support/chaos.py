"""Faults at random, one upon another, from a seed: the same seed gives the same actions.

What is random is which fault happens at which moment to which worker, and how long the next one waits; how far the
cluster has come by then is the machine's. So a run that fails is not repeated to the microsecond, but as what was done.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from injuries import fill, injure
from invariants import Before, answering, check_story, descriptors, lost, members
from moments import CELLS, Fault, Moment
from witness import acks_of, witnesses

from pytest_cluster import Cluster, ClusterError, WorkerProxy
from pytest_cluster.waiting import poll

__all__ = ["Action", "Chaos", "actions"]

PATIENCE: Final = 40.0
LONGEST_PAUSE: Final = 0.6
BOUND: Final = 1024 * 1024
WAYS: Final = ("successor", "asked", "disconnected", "reload", "old")  # after which the server goes on


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is done: a fault at a moment, to the worker at a place in their order, and a pause."""

    number: int
    fault: Fault
    moment: Moment
    place: int
    pause: float

    def __str__(self) -> str:
        return f"{self.number}. {self.fault.name} at {self.moment.name}, worker {self.place}, then {self.pause:.2f} s"


def actions(seed: int) -> Iterator[Action]:
    """Yield the actions of a seed, without end."""
    chance = random.Random(seed)
    cells = [cell for cell in CELLS if cell[1].way in WAYS]
    number = 0
    while True:
        number += 1
        fault, moment = chance.choice(cells)
        yield Action(number, fault, moment, chance.randrange(1 << 16), chance.random() * LONGEST_PAUSE)


class Chaos:
    """A run on a cluster of ``pid_echo:app``; what was done is in :attr:`done`."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.done: list[Action] = []
        self._cluster = cluster
        self._seed = seed
        self._acks = acks_of(cluster)
        self._before = Before.of(cluster)

    def run(self, seconds: float) -> None:
        """Act for so long, then let the cluster heal, and check that it has.

        Raises:
            AssertionError: with the seed, and what was done.
        """
        try:
            self._run(seconds)
        except Exception as error:
            did = "\n".join(map(str, self.done))
            raise AssertionError(f"chaos with seed {self._seed} has failed: {error}\nafter\n{did}") from error

    def _run(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        with witnesses(self._cluster, clients=3) as witness:
            for action in actions(self._seed):
                self.done.append(action)
                self._act(action)
                self._check_now()
                if time.monotonic() > over:
                    break
            self._heal()
            witness.finish()
        self._check_whole()
        dead = {worker.id for worker in self._cluster.every_worker if worker.is_dead()}
        assert lost(witness, self._acks, dead) == []

    # --- acting --------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        victims = [worker for worker in self._cluster.workers if worker.pid not in self._struck()]
        with suppress(ClusterError):  # the worker has ended just now, by what was done before
            self._arm(action, victims[action.place % len(victims)] if victims else None)
        time.sleep(action.pause)
        self._marker(action).unlink(missing_ok=True)

    def _arm(self, action: Action, victim: WorkerProxy | None) -> None:
        cluster, way = self._cluster, action.moment.way
        target: WorkerProxy | int | None = victim
        if way in ("successor", "reload"):
            target = 1 + max(worker.id for worker in cluster.every_worker)
        if target is None:
            return
        marker, args = str(self._marker(action)), action.fault.args
        if action.fault.effect == "passes":
            self._marker(action).touch()
            args = (marker,)  # type: ignore[assignment]
        cluster.faults.at(action.moment.step, injure, marker, action.fault.function, *args, worker=target)
        if way == "successor" and victim is not None:
            victim.kill()
        elif way == "disconnected" and victim is not None:
            victim.disconnect()
        elif way in ("reload", "old"):
            cluster.primary.signal("SIGHUP")
        if action.fault.effect == "passes" and isinstance(target, WorkerProxy):
            with suppress(KeyError):
                cluster.primary.run(fill, target.id, BOUND)

    def _marker(self, action: Action) -> Path:
        return Path(self._cluster.server.folder) / f"chaos-{action.number}"

    def _struck(self) -> set[int]:
        """The processes to which something has happened."""
        files = Path(self._cluster.server.folder).glob("chaos-*.struck")
        return {int(path.read_text() or 0) for path in files}

    # --- checking ------------------------------------------------------------------------------

    def _check_now(self) -> None:
        assert self._cluster.returncode is None, "the primary has ended"
        for worker in self._cluster.every_worker:
            if worker.is_dead():
                check_story(self._cluster, worker.id)

    def _heal(self) -> None:
        """End what only hurts, and wait until limits have ended what blocks; then nothing more happens."""
        hurt = [action for action in self.done if action.fault.effect == "hurts"]
        for action in hurt:
            with suppress(OSError):
                pid = int(Path(f"{self._marker(action)}.struck").read_text())
                if pid in {worker.pid for worker in self._cluster.workers}:
                    os.kill(pid, 9)
        ends = [action for action in self.done if action.fault.effect in ("ends", "blocks")]
        paths = [Path(f"{self._marker(action)}.struck") for action in ends]

        def gone() -> bool:
            return not any(os.path.exists(f"/proc/{path.read_text()}") for path in paths if path.exists())

        self._cluster.wait_for(lambda _: gone(), reason="the end of all that was struck", timeout=PATIENCE)
        self._cluster.faults.undo()

    def _check_whole(self) -> None:
        cluster = self._cluster

        def whole() -> bool:
            status = cluster.primary.status()
            return status["state"] == "running" and len(members(cluster)) == 1 + cluster.options.workers

        cluster.wait_for(lambda _: whole(), reason="as many workers as there should be", timeout=PATIENCE)
        cluster.wait_listening(timeout=PATIENCE)
        self._check_now()
        assert poll(lambda: answering(cluster) == {worker.id for worker in cluster.workers}, PATIENCE)
        assert poll(lambda: descriptors(cluster) <= self._before.descriptors, PATIENCE)
        assert "Traceback" not in cluster.primary.logs.text[self._before.log :]
