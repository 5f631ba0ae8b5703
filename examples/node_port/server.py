"""The same program in Python: one worker for each CPU, all on port 8000."""

import os
import sys

from nodecluster_compat import cluster, http, process

count = int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count()

if cluster.is_primary:
    print(f"Primary {process.pid} is running")

    for _ in range(count):
        cluster.fork()

    @cluster.on("exit")
    def _(worker, code, signal):
        print(f"worker {worker.process.pid} died")
else:

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"hello world\n"]

    http.create_server(app).listen(8000)

    print(f"Worker {process.pid} started")
