"""D9: Node forgets a worker when it is told to disconnect, we when it has disconnected and exited (spec 2.12)."""

from prelude import cluster, trace

if cluster.is_primary:
    w = cluster.fork()

    def there():
        return w.id in cluster.workers

    w.on("disconnect", lambda: trace("disconnect", there()))
    w.on("exit", lambda code, signal: trace("exit", there()))
    w.on("online", lambda: (trace("online", there()), w.disconnect(), trace("asked", there())))
