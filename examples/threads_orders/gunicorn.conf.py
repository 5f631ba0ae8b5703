"""gunicorn -c gunicorn.conf.py orders:app"""

from itertools import count

from nodecluster_compat import cluster

worker_class = "nodecluster_compat.ThreadWorker"
workers = 3
threads = 4

numbers = count(1)


@cluster.on("request")
def next_number(worker, message, reply):
    """Orders are numbered once for all workers and threads: the primary counts."""
    reply(next(numbers))
