"""A worker lives while something holds it: its channel, a server, a timer; each can be let go of."""

import os

from prelude import cluster, process, trace, watch

from nodecluster_compat import dgram, net

if cluster.is_primary:
    watch("exit")
    for how in ("channel", "timer", "server", "back", "udp", "left"):
        cluster.fork({"HOW": how})
else:
    how = os.environ["HOW"]
    process.on("exit", lambda code: trace("exit", code, process.connected))
    server = dgram.create_socket("udp4") if how == "udp" else net.create_server()

    def end(what):
        trace(what)
        server.unref()

    def served():
        process.channel.unref()
        cluster.set_timeout(lambda: cluster.set_timeout(end, 200, "server held it").ref(), 10).unref()

    if how == "channel":
        process.channel.unref()
    if how == "timer":
        process.channel.unref()
        cluster.set_timeout(trace, 100, "timer")
    if how == "server":
        server.listen(0, "127.0.0.1", callback=served)
    if how == "back":
        process.channel.unref()
        process.channel.ref()
        cluster.set_timeout(lambda: (trace("channel held it"), process.channel.unref()), 200).unref()
    if how == "udp":
        server.unref()
        server.bind(0, "127.0.0.1", callback=lambda: process.channel.unref())
    if how == "left":
        server.listen(0, "127.0.0.1", callback=lambda: cluster.worker.disconnect())
        cluster.set_timeout(trace, 60000, "never").unref()
        process.on("disconnect", lambda: trace("channel", process.channel))
