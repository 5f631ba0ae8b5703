"""D7: a message that comes before the first listener is lost in Node; here it waits (spec 4.2)."""

from prelude import cluster, later, process, trace

if cluster.is_primary:
    w = cluster.fork()
    w.send("early")
    seen = []

    @w.on("message")
    def _(m, handle):
        trace("got", m)
        if m == "now":
            w.send("late")
        elif m == "late":
            w.disconnect()
else:

    def listen():
        process.send("now")
        process.on("message", lambda m, handle: process.send(m))

    later(0.3, listen)
