"""A chat in the browser, by Flask-SocketIO on four workers: ``gunicorn`` in this folder, then http://127.0.0.1:8000.

What makes it run on more than one worker is ``client_manager=ClusterManager(...)``, and ``worker_class`` in
``gunicorn.conf.py``.
"""

from flask import Flask, request
from flask_socketio import SocketIO, emit, join_room

from nodecluster_compat import cluster
from nodecluster_compat.socketio import ClusterManager

app = Flask(__name__)
manager = ClusterManager(recovery=120)  # who is away for less than two minutes misses nothing
socketio = SocketIO(app, client_manager=manager)


@app.get("/")
def page():
    return app.send_static_file("chat.html")


@app.get("/members")
def members():
    """Who is in the room, whichever worker this request is served by."""
    return {"members": sorted(one.session.get("name", "?") for one in manager.fetch_sockets("tea"))}


@socketio.on("connect")
def connect(auth):
    name = str((auth or {}).get("name", "somebody"))[:20]
    join_room("tea")
    socketio.server.save_session(request.sid, {"name": name})
    emit("welcome", {"worker": cluster.worker.id if cluster.worker else 0})


@socketio.on("say")
def say(text):
    name = socketio.server.get_session(request.sid)["name"]
    emit("said", {"name": name, "text": str(text)[:500]}, to="tea")
    return "heard"
