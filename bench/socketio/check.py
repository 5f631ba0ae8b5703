"""Check Socket.IO on several workers with Socket.IO's own client, however it connects, behind whatever stands in front.

    npm install --prefix DIR socket.io-client@4.8.4
    python bench/socketio/check.py DIR [--clients 30] [--events 10] [--only direct,tls,...] [--columns polling-own,...]

Each row is a server and what is in front of it; each column a transport and how its requests are connected: by a
connection of each client, by an agent of Node's that all share and that keeps connections, or by ``fetch``, which
keeps them too; ``python`` is python-socketio's client instead, with connections of its own.  A cell says ``all`` if
each client lived, stayed with one worker, heard each echo, broadcast, and bytes once, got acknowledgements of clients
of other workers, was put into rooms by them, and half of them were disconnected by them; else what was missing.
``stock`` is the control, in which that must fail.

``spread`` is the share of the worker with most of 100 clients that come one by one through nginx.  ``ends`` is how many
seconds pass, when a worker is killed or told to end, until each of its clients hears an answer from another; where all
are replaced by a reload, from the moment in which a client's own worker leaves.

The servers keep idle connections for longer than the clients and the proxies do: whoever sends a request on a
connection that the server is just closing loses it, ``fetch`` keeps connections for four seconds, and gunicorn's own
``keepalive`` is two.  The two seldom meet, but of 200 clients on a busy machine some lose their sessions.

Exits with 1 where something is missing.  What is not installed (nginx, HAProxy, Flask-SocketIO, gevent-websocket) is
skipped, and named.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from ends import ends  # noqa: E402
from fronts import running  # noqa: E402
from setups import SETUPS, Setup  # noqa: E402

TRANSPORTS: Final = ("polling", "upgrade", "websocket")
CONNECTIONS: Final = ("own", "shared", "fetch", "python")
COLUMNS: Final = [
    (transport, connections)
    for transport, connections in itertools.product(TRANSPORTS, CONNECTIONS)
    if (transport, connections) != ("websocket", "fetch")  # nothing is fetched
]
MOST_SHARE: Final = 0.65
SPREAD_CLIENTS: Final = 100
SPREAD_PAUSE: Final = 15


def missed(said: dict[str, Any], clients: int, events: int, scheme: str) -> dict[str, Any]:
    """Return what is not as it must be."""
    expected = {
        "live": clients,
        "echoes": clients * events,
        "faithful": clients,
        "upgraded": clients,
        "told": clients,
        "broadcast": clients,
        "binary": clients,
        "asked": clients,
        "entered": clients,
        "behind": clients,
        "leaked": 0,
        "kicked": clients // 2,
    }
    wrong = {name: said.get(name) for name, value in expected.items() if said.get(name) != value}
    if said.get("workers", 0) < 2:
        wrong["workers"] = said.get("workers")
    if any(not one.startswith(f"{scheme},") for one in said.get("whence", [])):
        wrong["whence"] = said["whence"]
    if wrong and said.get("lost"):
        wrong["lost"] = said["lost"]
    return wrong


def check(modules: Path, names: list[str], columns: list[tuple[str, str]], clients: int, events: int) -> bool:
    """Check these transports of these set-ups; return whether all is as it must be."""
    is_right = True
    print("| | " + " | ".join(" ".join(column) for column in columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name in names:
        setup = SETUPS[name]
        if setup.missing:
            print(f"| {name} | skipped: there is no {setup.missing} |", flush=True)
            continue
        cells = []
        with running(modules) as servers:
            url, _ = servers.serve(setup)
            for transport, connections in columns:
                if name == "stock":
                    servers.environment["PATIENCE"] = "3"
                said = servers.clients(url, transport, connections, clients, events, 0)
                wrong = missed(said, clients, events, url.partition(":")[0])
                cells.append(f"{wrong}" if wrong else "all")
                is_right = is_right and (not wrong or name == "stock")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return is_right


def spread(modules: Path) -> bool:
    """New sessions on connections that a proxy keeps are dealt afresh."""
    with running(modules) as servers:
        url, _ = servers.serve(Setup(workers=2, front="nginx"))
        said = servers.clients(url, "polling", "own", SPREAD_CLIENTS, 1, SPREAD_PAUSE)
    if said.get("live") != SPREAD_CLIENTS or "most" not in said:
        print(f"spread: not all of {SPREAD_CLIENTS} clients through nginx were there: {said}", flush=True)
        return False
    share = said["most"] / SPREAD_CLIENTS
    print(f"spread: of {SPREAD_CLIENTS} clients through nginx {share:.0%} are with one of 2 workers", flush=True)
    return share <= MOST_SHARE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", type=Path, help="where npm has installed socket.io-client")
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--only", help=f"some of {','.join([*SETUPS, 'spread', 'ends'])}")
    parser.add_argument("--columns", help=f"some of {','.join(map('-'.join, COLUMNS))}")
    options = parser.parse_args()
    modules = options.modules.resolve()
    asked = options.only.split(",") if options.only else [*SETUPS, "spread", "ends"]
    names = [name for name in asked if name in SETUPS]
    columns = [one for one in COLUMNS if not options.columns or "-".join(one) in options.columns.split(",")]
    is_right = check(modules, names, columns, options.clients, options.events) if names else True
    if "spread" in asked:
        is_right = spread(modules) and is_right
    if "ends" in asked:
        is_right = ends(modules, options.clients) and is_right
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
