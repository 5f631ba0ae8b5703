"""Each worker keeps prices in its own memory, which is as fast as it gets; whoever changes one tells all of them.

gunicorn -k nodecluster_compat.Worker -w 4 catalogue:app
"""

from flask import Flask, jsonify, request

from nodecluster_compat import cluster

app = Flask(__name__)
prices = {}  # this worker's


def slow_price(item):
    """What a database would be asked for; here it is in the cluster's store."""
    return cluster.store.get(f"price:{item}", 100)


@app.get("/price/<item>")
def price(item):
    known = item in prices
    if not known:
        prices[item] = slow_price(item)
    return jsonify(price=prices[item], from_memory=known, worker=cluster.worker.id)


@app.put("/price/<item>")
def change(item):
    cluster.store.set(f"price:{item}", request.get_json()["price"])
    replies = cluster.everywhere(forget, item)  # back when every worker has forgotten it
    return jsonify(forgotten_by=sorted(replies), missing=sorted(replies.missing))


def forget(item):
    return prices.pop(item, None)


@cluster.bus.subscribe("prices.changed")
def prices_changed(topic, message):
    """For those who do not wait: publish("prices.changed") empties all memories, soon."""
    prices.clear()


@app.post("/sale")
def sale():
    cluster.bus.publish("prices.changed", {"why": "sale"})
    return "", 204


@cluster.once("catalogue")
def fill():
    """One worker fills the store, once in the life of the cluster."""
    cluster.store.set("price:chair", 40)
    cluster.store.set("ready", True)


@app.get("/ready")
def ready():
    return jsonify(ready=cluster.store.get("ready", False))
