"""reusePort binds in the worker and the primary hears of nothing; Node 20 ignores it (spec 3.4, 7)."""

from prelude import cluster, later, process, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("listening")
    w = cluster.fork()
    w.on("message", lambda m, handle: (trace(m), w.kill("SIGKILL")))
else:
    s = net.create_server()
    s.listen(0, "127.0.0.1", reuse_port=True, callback=lambda: later(0.05, lambda: process.send(cluster.worker.state)))
