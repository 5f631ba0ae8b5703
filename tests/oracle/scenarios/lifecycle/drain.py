"""A connection in flight holds up the disconnect; messages flow meanwhile (spec 2.5)."""

import socket

from prelude import cluster, flags, process, trace_as, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    w = watch_worker(cluster.fork())
    clients = []

    @w.on("message")
    def _(message, handle):
        trace_as("P1", "message", message)
        if message == "served":
            w.disconnect()
            trace_as("P1", "asked", *flags(w), w.send("ping"))
        if message == "pong":
            cluster.call_later(0.1, lambda: (trace_as("P1", "client ends"), clients.pop().close()))

    cluster.on("listening", lambda _, a: clients.append(socket.create_connection(("127.0.0.1", a.port))))
else:
    process.on("message", lambda message, handle: process.send("pong"))
    net.create_server(lambda sock, peer: (process.send("served"), sock.recv(100))).listen(0, "127.0.0.1")
