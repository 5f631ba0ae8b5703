"""A received socket is served by the worker's own HTTP server (upstream send-socket-to-worker-http-server)."""

import socket
import threading

from prelude import cluster, process, trace

from nodecluster_compat import http, net

if cluster.is_primary:
    w = cluster.fork()
    s = net.create_server(lambda sock, peer: w.send("take", sock))

    def talk():
        with socket.create_connection(("127.0.0.1", s.address().port)) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b""
            while data := c.recv(65536):
                text += data
        cluster.call_soon_threadsafe(answered, text.decode())

    def answered(text):
        trace(text.split("\r\n")[0], text.endswith("hello"))
        s.close()
        w.disconnect()

    w.on("online", lambda: s.listen(0, "127.0.0.1", callback=lambda: threading.Thread(target=talk).start()))
else:

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]

    server = http.create_server(app)
    process.on("message", lambda m, sock: server.emit("connection", sock))
