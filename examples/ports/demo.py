"""What the demos have in common: lines for the observer, and a client."""

import http.client
import os
import threading

from nodecluster_compat import cluster


def say(*what):
    say_as(f"W{cluster.worker.id}" if cluster.is_worker else "P", *what)


def say_as(observer, *what):
    os.write(1, f"{observer} {' '.join(map(str, what))}\n".encode())


def get(port, callback, local_address=None):
    """Ask for a page on a connection of its own, in a thread: a primary that waits deals no connections."""

    def ask():
        source = (local_address, 0) if local_address else None
        connection = http.client.HTTPConnection("127.0.0.1", port, source_address=source)
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        cluster.call_soon_threadsafe(callback, response.status, response.read().decode().strip())

    threading.Thread(target=ask).start()
