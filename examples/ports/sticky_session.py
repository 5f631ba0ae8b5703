"""sticky-session in Python: the primary accepts, and sends each client to the worker that its address says."""

import os
import random
import zlib

from nodecluster_compat import cluster, net, process


class Master(net.Server):
    """Listens in the primary, with so many workers behind it."""

    def __init__(self, worker_count, env=None):
        super().__init__(self.balance)
        self.env = env
        self.seed = random.getrandbits(32)
        self.workers = []
        self.once("listening", lambda: [self.spawn_worker() for _ in range(worker_count)])

    def hash(self, address):
        return zlib.crc32(address.encode(), self.seed)

    def spawn_worker(self):
        worker = cluster.fork(self.env)
        worker.on("exit", lambda code: self.respawn(worker))

        def on_message(message):
            if message["type"] == "close":  # it leaves gracefully
                self.respawn(worker)

        worker.on("message", on_message)
        self.workers.append(worker)

    def respawn(self, worker):
        if worker in self.workers:
            self.workers.remove(worker)
        self.spawn_worker()

    def balance(self, sock, peer):
        self.workers[self.hash(peer[0]) % len(self.workers)].send("sticky:balance", sock)


def listen(server, port, workers=None, env=None):
    """Have ``server`` serve in the workers; returns whether this process is one of them."""
    if cluster.is_primary:
        master = Master(workers or os.cpu_count(), env)
        master.listen(port)
        master.once("listening", lambda: server.emit("listening"))
        return False

    close = server.close

    def close_gracefully(*args):
        process.send({"type": "close"})
        return close(*args)

    server.close = close_gracefully

    @process.on("message")
    def _(message, sock):
        if message == "sticky:balance" and sock:
            server.emit("connection", sock)

    return True
