"""Three workers behind one port; a client reaches the same one each time."""

import sys

import sticky_session
from demo import get, say

from nodecluster_compat import cluster, http, process

port = int(sys.argv[1])


def app(environ, start_response):
    start_response("200 OK", [])
    return [str(cluster.worker.id).encode()]


def visit(addresses):
    if not addresses:
        process.exit(0)
    address, *others = addresses

    def ask(answers):
        if len(answers) < 3:
            get(port, lambda status, number: ask([*answers, number]), address)
            return
        say(address, "reaches", len(set(answers)), "worker in", len(answers), "visits")
        visit(others)

    ask([])


server = http.create_server(app)
if not sticky_session.listen(server, port, workers=3):
    ready = []
    server.once("listening", lambda: say("listens"))

    @cluster.on("message")
    def _(worker):
        ready.append(worker)
        if len(ready) == 3:
            visit(["127.0.0.2", "127.0.0.3", "127.0.0.4"])

else:
    say("serves")
    process.send({"type": "ready"})
