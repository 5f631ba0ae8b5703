"""worker.kill() sends a signal and nothing else; its name may be small, and 0 kills (spec 1.3, 2.3)."""

from prelude import attempt, cluster, watch, watch_worker

if cluster.is_primary:
    watch("exit", "disconnect")
    how = {1: None, 2: "SIGKILL", 3: "sigint", 4: 0}
    for _ in range(5):
        watch_worker(cluster.fork())

    @cluster.on("online")
    def _(w):
        if w.id != 5:
            w.kill(how[w.id])
        else:
            w.process.kill("SIGQUIT")

    attempt("unknown", lambda: cluster.workers[1].kill("SIGNOPE"))
