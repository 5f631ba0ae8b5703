"""serialization "advanced": a cycle, bytes, dates, sets, maps, big numbers, errors make the round trip (spec 4.4)."""

import datetime as dt

from prelude import attempt, cluster, process, trace

if cluster.is_primary:
    cluster.setup_primary(serialization="advanced")
    loop = {"name": "loop"}
    loop["me"] = loop
    w = cluster.fork()
    date = dt.datetime.fromtimestamp(0, dt.timezone.utc)
    message = {"loop": loop, "bytes": b"\x00\xff", "date": date, "set": {1}, "map": {1: "one"}, "big": 2**80}
    w.send({**message, "nan": float("nan"), "error": TypeError("bad")})

    @w.on("message")
    def _(m, handle):
        trace(
            m["loop"]["me"] is m["loop"],
            len(m["bytes"]),
            m["bytes"][1],
            int(m["date"].timestamp()),
            1 in m["set"],
            m["map"][1],
            m["big"] == 2**80,
            m["nan"] != m["nan"],
            isinstance(m["error"], TypeError),
            str(m["error"]),
        )
        w.disconnect()

    attempt("function", lambda: w.send(lambda: None))
else:
    process.on("message", lambda m, handle: process.send(m))
