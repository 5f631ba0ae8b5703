"""Says in the log when its worker leads, and when a job of the leader's runs; otherwise as ``remote``."""

from __future__ import annotations

import os
import time

from remote import app, say

from nodecluster_compat import cluster

__all__ = ["app"]

cluster.leader.elected(lambda token: say(led=os.getpid(), token=token, at=time.monotonic()))
cluster.leader.lost(lambda: say(lost=os.getpid(), at=time.monotonic()))


@cluster.every(0.05, name="tick")
def tick(token: int) -> None:
    say(tick=os.getpid(), token=token, at=time.monotonic())


@cluster.once("warm-up")
def warm_up() -> None:
    say(warm=os.getpid(), at=time.monotonic())
