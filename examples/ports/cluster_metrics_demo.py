"""Three workers count what they serve; the primary has the sum; a killed one is not waited for."""

import cluster_metrics
from cluster_metrics import AggregatorRegistry, registry
from demo import get, say

from nodecluster_compat import cluster, http

if cluster.is_primary:
    aggregator = AggregatorRegistry()
    listening = []

    @cluster.on("listening")
    def _(worker, address):
        listening.append(worker)
        if len(listening) == 3:
            ask(address.port, 6, lambda: show(lambda: cluster.workers[1].process.kill("SIGKILL")))

    @cluster.on("exit")
    def _(worker, code, signal):
        say("exit", signal or code)
        if worker.id == 1:
            show(cluster.disconnect)

    for _ in range(3):
        cluster.fork()
else:
    cluster_metrics.serve()

    def app(environ, start_response):
        registry.inc("requests_total")
        registry.inc(f"requests_of_worker_{cluster.worker.id}")
        start_response("200 OK", [])
        return [b""]

    http.create_server(app).listen(0)


def ask(port, times, callback):
    if times:
        get(port, lambda *_: ask(port, times - 1, callback))
    else:
        callback()


def show(callback):
    def shown(future):
        for line in future.result().split("\n"):
            say(line)
        callback()

    aggregator.cluster_metrics().add_done_callback(shown)
