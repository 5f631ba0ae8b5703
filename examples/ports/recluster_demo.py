"""Two workers; one is killed and comes again; a reload replaces both while they serve; then the end."""

import os

from demo import get, say, say_as
from recluster import Recluster

from nodecluster_compat import cluster

if cluster.is_worker:
    raise SystemExit("recluster runs recluster_server.py in its workers")

server = os.path.join(os.path.dirname(__file__), "recluster_server.py")
balancer = Recluster(server, workers=2, timeout=10, respawn=0.05, log=None)
port = None
ready = exits = 0


@balancer.on("ready")
def _(worker, address):
    global port, ready
    say_as(f"P{worker.id}", "ready, slot", worker.slot)
    port = address.port
    ready += 1
    if ready == 2:
        ask("before", lambda: cluster.workers[1].process.kill("SIGKILL"))
    if ready == 3:
        cluster.set_timeout(lambda: balancer.reload(lambda: say("reloaded")), 1)
    end_if_done()


@cluster.on("exit")
def _(worker, code, signal):
    global exits
    say_as(f"P{worker.id}", "exit", null(code), null(signal), str(worker.exited_after_disconnect).lower())
    exits += 1
    end_if_done()


def null(value):
    return "" if value is None else value


def ask(when, callback):
    def second(status, one):
        def both(_, two):
            say(when, status, ", ".join(sorted([one, two])))
            callback()

        get(port, both)

    get(port, second)


def end_if_done():
    if ready == 5 and exits == 3:
        cluster.set_timeout(end, 1)


def end():
    say("slots", *sorted(worker.slot for worker in balancer.workers))
    ask("after", lambda: balancer.terminate(lambda: say("terminated")))


balancer.run()
