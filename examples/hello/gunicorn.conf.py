"""The primary's side: what Node writes behind ``if (cluster.isPrimary)``."""

from nodecluster_compat import cluster

worker_class = "nodecluster_compat.Worker"
workers = 3
bind = "127.0.0.1:8000"


@cluster.on("listening")
def say_listening(worker, address):
    print(f"worker {worker.id} (pid {worker.process.pid}) listens on {address.address}:{address.port}", flush=True)


@cluster.on("message")
def say_message(worker, message, handle):
    print(f"worker {worker.id} says {message}", flush=True)


@cluster.on("exit")
def say_exit(worker, code, signal):
    print(f"worker {worker.id} ended: code {code}, signal {signal}", flush=True)
