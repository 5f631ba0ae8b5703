"""What cannot be sent raises where it is sent, and nothing is sent (spec 4.1)."""

from prelude import attempt, cluster, process, trace

if cluster.is_primary:
    w = cluster.fork()
    w.on("message", lambda m, handle: (trace("got", m), w.disconnect()))
    attempt("nothing", lambda: w.send())
    attempt("function", lambda: w.send(lambda: None))
    loop = {}
    loop["me"] = loop
    attempt("loop", lambda: w.send(loop))
    attempt("handle", lambda: w.send("x", {"not": "a handle"}))
    attempt("fine", lambda: w.send("fine"))
else:
    process.on("message", lambda m, handle: process.send(m))
