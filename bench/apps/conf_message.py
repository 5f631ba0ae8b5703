"""gunicorn's configuration where a worker sends the primary 100 MiB, of the shape that BENCH_SHAPE names.

One worker does, once the file BENCH_HELD is there; the primary removes that when the message has come.
"""

from __future__ import annotations

import os
from pathlib import Path

from nodecluster_compat import cluster

exec((Path(__file__).parent / "conf.py").read_text())
SHAPES = {
    "text": lambda: "x" * (100 << 20),
    "records": lambda: [{"id": n, "name": f"record {n}", "tags": ["a", "b"], "value": n / 7} for n in range(1_300_000)],
}


@cluster.on("message")
def came(worker: object, message: object, handle: object = None) -> None:
    Path(os.environ["BENCH_HELD"]).unlink()


def post_worker_init(worker: object) -> None:
    import gevent

    from nodecluster_compat import process

    def send_when_told() -> None:
        held = Path(os.environ["BENCH_HELD"])
        message = SHAPES[os.environ["BENCH_SHAPE"]]()
        Path(f"{held}.entered").touch()
        while not held.exists():
            gevent.sleep(0.005)
        process.send(message)

    if cluster.worker is not None and cluster.worker.id == 1:
        gevent.spawn(send_when_told)
