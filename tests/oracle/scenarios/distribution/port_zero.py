"""listen(0) is the same port in every worker, and another one for each further server (spec 3.1)."""

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    ports = {}

    @cluster.on("message")
    def _(w, m, handle):
        ports[w.id] = m
        if len(ports) == 2:
            trace("same", ports[1] == ports[2], "differ", ports[1][0] != ports[1][1])
            cluster.disconnect()

    cluster.fork()
    cluster.fork()
else:
    a, b = net.create_server(), net.create_server()

    def second():
        b.listen(0, "127.0.0.1", callback=lambda: process.send([a.address().port, b.address().port]))

    a.listen(0, "127.0.0.1", callback=second)
