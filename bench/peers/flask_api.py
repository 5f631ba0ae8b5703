"""A small JSON API, as most of them are: an order with its twenty items."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

app = Flask(__name__)


@app.get("/orders/<int:number>")
def order(number: int) -> dict[str, Any]:
    first = request.args.get("first", 0, int)
    items = [{"id": first + index, "name": f"item {index}", "price": index * 1.5} for index in range(20)]
    return {"order": number, "customer": "Ada", "paid": True, "items": items}
