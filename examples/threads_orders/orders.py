"""Take orders on threads: a driver that blocks, and numbers that are one for all workers.

The supplier's driver waits in C and knows no gevent: that is why this application runs on threads.
"""

from __future__ import annotations

import json
import time

from nodecluster_compat import cluster, process

SUPPLIER_SECONDS = 0.01


def ask_supplier(article: str) -> bool:
    """Whether the article can be had; stands for a driver that blocks its thread."""
    time.sleep(SUPPLIER_SECONDS)
    return article != "unobtainable"


def order(article: str) -> dict:
    if not ask_supplier(article):
        return {"refused": article}
    return {"order": process.request("number"), "article": article, "worker": cluster.worker.id}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    answer = order(path.removeprefix("/order/")) if path.startswith("/order/") else {"worker": cluster.worker.id}
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
