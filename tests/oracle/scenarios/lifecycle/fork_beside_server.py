"""A primary with a server of its own forks in callbacks: setup, fork, and only then what the worker says."""

from prelude import cluster, later, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    cluster.on("setup", lambda settings: trace("setup"))
    server = net.create_server()

    def up():
        for _ in range(3):
            cluster.fork()
        later(0.05, lambda: (cluster.fork(), server.close(lambda: trace("closed"))))

    server.listen(0, "127.0.0.1", callback=up)
else:
    cluster.worker.disconnect()
