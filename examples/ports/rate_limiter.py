"""rate-limiter-flexible in Python: the primary counts, the workers ask it by messages that carry an id."""

import itertools
import time
from concurrent.futures import Future, TimeoutError  # noqa: A004 - its own class before Python 3.11

from nodecluster_compat import cluster, process

CHANNEL = "rate_limiter"


class Rejected(Exception):
    """No points are left; ``args[0]`` says how it stands."""


class RateLimiterMemory:
    def __init__(self, points, duration):
        self.points = points
        self.duration = duration
        self.counts = {}

    def consume(self, key, points=1):
        consumed, until = self.counts.get(key, (0, 0))
        if until <= time.time():
            consumed, until = 0, time.time() + self.duration
        consumed += points
        self.counts[key] = consumed, until
        return {
            "isAllowed": consumed <= self.points,
            "consumedPoints": consumed,
            "remainingPoints": max(0, self.points - consumed),
        }


class RateLimiterClusterMaster:
    """In the primary: one limiter for each prefix that a worker names."""

    def __init__(self):
        self.limiters = {}
        cluster.on("message", self.received)

    def received(self, worker, message):
        if not isinstance(message, dict) or message.get("channel") != CHANNEL:
            return
        prefix = message["keyPrefix"]
        if message["type"] == "init":
            if prefix not in self.limiters:
                self.limiters[prefix] = RateLimiterMemory(**message["options"])
            worker.send({"channel": CHANNEL, "type": "init", "keyPrefix": prefix})
            return
        data = self.limiters[prefix].consume(message["key"], message["points"])
        answer = {"channel": CHANNEL, "type": "resolve" if data["isAllowed"] else "reject", "keyPrefix": prefix}
        worker.send({**answer, "id": message["id"], "data": data})


class RateLimiterCluster:
    """In a worker.  :meth:`consume` waits, so call it where a request is served, not in a handler of messages."""

    def __init__(self, key_prefix, timeout=5, **options):
        self.key_prefix = key_prefix
        self.timeout = timeout
        self.ids = itertools.count(1)
        self.futures = {}
        self.ready = Future()
        process.on("message", self.received)
        process.send({"channel": CHANNEL, "type": "init", "keyPrefix": key_prefix, "options": options})

    def received(self, message):
        if (
            not isinstance(message, dict)
            or message.get("channel") != CHANNEL
            or message["keyPrefix"] != self.key_prefix
        ):
            return
        if message["type"] == "init":
            self.ready.set_result(True)
            return
        future = self.futures.pop(message["id"], None)
        if future is None:
            return
        if message["type"] == "resolve":
            future.set_result(message["data"])
        else:
            future.set_exception(Rejected(message["data"]))

    def consume(self, key, points=1):
        self.ready.result(self.timeout)
        number, future = next(self.ids), Future()
        self.futures[number] = future
        question = {"channel": CHANNEL, "type": "consume", "keyPrefix": self.key_prefix}
        process.send({**question, "id": number, "key": key, "points": points})
        try:
            return future.result(self.timeout)
        except TimeoutError:
            self.futures.pop(number, None)
            raise RuntimeError("no answer from the primary in time") from None
