"""What recluster runs in each worker."""

import os

from nodecluster_compat import http, process


def app(environ, start_response):
    start_response("200 OK", [])
    return [f"slot {os.environ['WORKER_ID']}".encode()]


server = http.create_server(app)


@process.on("message")
def _(message):
    if message["cmd"] == "disconnect":
        server.close()


server.listen(0)
