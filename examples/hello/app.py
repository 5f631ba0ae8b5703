"""A WSGI application that says which worker answered, and tells the primary about it.

Run it with:  gunicorn -c examples/hello/gunicorn.conf.py --pythonpath examples/hello app:app
"""

import json
import os

from nodecluster_compat import cluster, process


def app(environ, start_response):
    if process.connected:
        process.send({"served": environ["PATH_INFO"]})
    worker = cluster.worker.id if cluster.worker else None
    body = json.dumps({"worker": worker, "pid": os.getpid()}).encode() + b"\n"
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
