"""From fork() to listening and through a disconnect: every event and every flag (spec 2.1, 2.3)."""

from prelude import cluster, flags, trace, trace_as, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    cluster.on("setup", lambda settings: trace("setup"))
    w = watch_worker(cluster.fork())
    trace("forked", *flags(w))

    @cluster.on("listening")
    def _(worker, address):
        trace("same", w.disconnect() is w)
        trace_as("P1", "asked", *flags(w))
else:
    me = cluster.worker
    trace("born", me.state, me.exited_after_disconnect, me.is_dead(), me.is_connected())
    net.create_server().listen(0, "127.0.0.1", callback=lambda: trace("callback", me.state))
