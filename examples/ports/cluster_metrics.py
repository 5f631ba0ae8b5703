"""prom-client in Python: each worker counts for itself; the primary asks all, waits for the last answer, adds up."""

import itertools
from collections import Counter
from concurrent.futures import Future

from nodecluster_compat import cluster, process

REQUEST = "prom-client:getMetricsReq"
RESPONSE = "prom-client:getMetricsRes"
LIMIT = 5_000  # milliseconds


class Registry:
    def __init__(self):
        self.counters = Counter()

    def inc(self, name, by=1):
        self.counters[name] += by

    def metrics_as_json(self):
        return [{"name": name, "value": value} for name, value in self.counters.items()]


class Request:
    """One question to all workers."""

    def __init__(self, callback, timer):
        self.callback = callback
        self.timer = timer
        self.responses = []
        self.pending = 0


registry = Registry()
request_ids = itertools.count()
requests = {}


class AggregatorRegistry:
    def __init__(self):
        if cluster.is_primary:
            cluster.on("message", lambda worker, message: received(message))

    def cluster_metrics(self):
        """Return a future: its result is the text, TimeoutError if a worker does not answer."""
        number, future = next(request_ids), Future()
        timer = cluster.set_timeout(lambda: future.set_exception(TimeoutError("Operation timed out.")), LIMIT)
        requests[number] = request = Request(future.set_result, timer)
        for worker in cluster.workers.values():
            if worker.is_connected():  # one that has exited may still be in the table
                worker.send({"type": REQUEST, "requestId": number})
                request.pending += 1
        if request.pending == 0:
            cluster.clear_timeout(timer)
            future.set_result("")
        return future


def received(message):
    if message["type"] != RESPONSE:
        return
    request = requests[message["requestId"]]
    request.responses += message["metrics"]
    request.pending -= 1
    if request.pending > 0:
        return
    del requests[message["requestId"]]
    cluster.clear_timeout(request.timer)
    request.callback(aggregate(request.responses))


def aggregate(metrics):
    sums = Counter()
    for metric in metrics:
        sums[metric["name"]] += metric["value"]
    return "\n".join(sorted(f"{name} {value}" for name, value in sums.items()))


def answer(message):
    if message["type"] == REQUEST:
        process.send({"type": RESPONSE, "requestId": message["requestId"], "metrics": registry.metrics_as_json()})


def serve():
    """Answer the primary's questions; a port calls this, because a worker's modules may be the primary's."""
    process.on("message", answer)
