"""docs/porting.md cannot drift: whatever its right column names exists."""

from __future__ import annotations

import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

from nodecluster_compat import cluster, dgram, errors, http, net, process
from nodecluster_compat.gevent_runtime.servers.net_server import NetServer
from nodecluster_compat.gevent_runtime.servers.udp_socket import UdpSocket
from nodecluster_compat.roles.cluster import Cluster
from nodecluster_compat.roles.pipes import ReadablePipe
from nodecluster_compat.roles.worker_handle import WorkerHandle

PAGE = (Path(__file__).parents[2] / "docs" / "porting.md").read_text()
API = PAGE.partition("## The whole API")[2].partition("## Settings")[0]
OURS = "\n".join(row.split("|")[2] for row in API.splitlines() if row.count("|") > 2)
PYTHONS = {"http.client", "socket.create_connection", "socket.socket"}  # of modules that have a name of ours
NAMES = sorted(
    name
    for name in set(re.findall(r"`(?:@)?((?:cluster|worker|process|net|http|dgram|server|socket)(?:\.\w+)+)", OURS))
    if name not in PYTHONS
)
MODULES = "os|sys|time|resource|signal|threading|subprocess|hashlib|socket|http|pyee"
PYTHON_NAMES = sorted(
    name for name in set(re.findall(rf"`(?:return )?((?:{MODULES})(?:\.\w+)+)", OURS)) if name not in NAMES
)


def holder_of(root: str) -> Any:
    """An object that has what ``root`` has."""
    made = {
        "cluster": cluster,
        "process": process,
        "net": net,
        "http": http,
        "dgram": dgram,
        "server": NetServer(),
        "socket": UdpSocket("udp4"),
        "worker": WorkerHandle(1, None),  # type: ignore[arg-type]
    }
    return made[root]


def test_the_page_has_a_table() -> None:
    """The search below finds names at all."""
    assert len(NAMES) > 30


def missing_part(name: str) -> str | None:
    """The first attribute of a dotted name that is not there."""
    root, *path = name.split(".")
    thing: Any = holder_of(root)
    for part in path:
        if thing is None:
            thing = ReadablePipe  # worker.process.stdout, which is there with silent=True
        if not hasattr(type(thing), part) and not hasattr(thing, part):
            return part
        thing = getattr(thing, part, None)  # some of a worker that never was cannot be asked
    return None


def test_what_the_page_names_exists() -> None:
    """Attribute by attribute."""
    assert {name: part for name in NAMES if (part := missing_part(name)) is not None} == {}
    assert missing_part("worker.no_such") == "no_such"


def test_what_the_page_names_of_python_exists() -> None:
    """With a module in front, or it is none of these."""
    assert [name for name in PYTHON_NAMES if pkgutil.resolve_name(name) is None] == []


def test_every_keyword_of_listen_is_on_the_page() -> None:
    """And no other."""
    asked = set(re.findall(r"(\w+)=…", next(line for line in API.splitlines() if "ipv6Only" in line)))
    taken = set(inspect.signature(NetServer.listen).parameters)
    assert asked <= taken
    assert taken - asked == {"self", "port", "host", "callback", "readable_all", "writable_all"}


def test_every_public_member_of_cluster_is_on_the_page() -> None:
    """What a program may use, and the page does not speak of, is ours and not Node's."""
    ours = {"call_soon_threadsafe", "reload", "status"}
    ours |= {"bus", "everywhere", "everywhere_async", "store", "leader", "every", "lock", "semaphore"}
    inside = {"freeze_policy", "become_primary", "become_worker", "asks_for_round_robin"}
    inside |= {"begin_load", "end_load", "undo_load", "let_go"}  # by the server around it
    members = {name for name in vars(Cluster) if not name.startswith("_")}
    assert {name for name in members - ours - inside if f"cluster.{name}" not in API} == set()


def test_errors_on_the_page_exist() -> None:
    """Named as they are."""
    rows = [row.split("|")[2] for row in PAGE.partition("## Errors")[2].splitlines() if row.count("|") > 2]
    named = set(re.findall(r"`([A-Z]\w+)`", "\n".join(rows)))
    assert len(named) > 10
    assert {name for name in named if not hasattr(errors, name)} == {"ValueError", "TypeError", "OSError"}
