"""cluster.Worker can be made by hand (spec 1.5)."""

from prelude import cluster, trace


def seen(w):
    trace(w.id, w.state, w.exited_after_disconnect, getattr(w, "process", None) is None)


seen(cluster.Worker())
seen(cluster.Worker(id="7", state="online"))
seen(cluster.Worker(id=5.7))
seen(cluster.Worker({"id": 3}))
