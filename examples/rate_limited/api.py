"""Ten requests a minute for each key, exactly, whichever worker answers; and no bursts at the expensive end.

gunicorn -k nodecluster_compat.Worker -w 4 api:app
"""

import os

from flask import Flask, g, jsonify, request
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

import nodecluster_compat.adapters.limits_storage  # noqa: F401 - limits knows cluster:// from here on
from nodecluster_compat import cluster
from nodecluster_compat.sharing.rates import TokenBucket

app = Flask(__name__)
limiter = MovingWindowRateLimiter(storage_from_string(os.environ.get("LIMITS", "cluster://")))
limit = parse("10/minute")


@app.before_request
def allow():
    g.key = request.headers.get("X-Key", "nobody")
    if not limiter.hit(limit, g.key):
        return jsonify(error="too many requests"), 429
    return None


@app.get("/")
def index():
    return jsonify(key=g.key, left=limiter.get_window_stats(limit, g.key).remaining)


@app.get("/report")
def report():
    wait = TokenBucket(cluster.store, f"report:{g.key}", rate=0.1, burst=2).take()
    if wait:
        return jsonify(error="too soon"), 429, {"Retry-After": str(round(wait))}
    return jsonify(report="…")
