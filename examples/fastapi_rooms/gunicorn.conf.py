"""The chat's server: three workers with an event loop each, and a primary that passes on what is said."""

from nodecluster_compat import cluster

bind = "127.0.0.1:8000"
worker_class = "nodecluster_compat.ASGIWorker"
workers = 3


@cluster.on("message")
def pass_on(_, message):
    for worker in cluster.workers.values():
        worker.send(message)
