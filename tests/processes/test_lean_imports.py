"""What a primary and its workers have not imported: what few servers use, and what is for type checkers alone."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Final

import gunicorn
import pytest

THREADS: Final = "nodecluster_compat._gunicorn.worker.threads.worker"
ASGI: Final = pytest.param(
    "nodecluster_compat._gunicorn.worker.asgi.worker",
    marks=pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1"),
)
GEVENT: Final = "nodecluster_compat._gunicorn.worker.gevent_worker"
KINDS: Final = pytest.mark.parametrize("kind", [THREADS, ASGI, GEVENT], ids=["threads", "asgi", "gevent"])

FEW_USE: Final = frozenset(
    {
        *("configparser", "secrets", "tracemalloc"),
        *(f"nodecluster_compat.connections.{name}" for name in ("connection_faults", "policy_thread")),
        *(
            f"nodecluster_compat.connections.policies.{name}"
            for name in ("asking", "client_address", "least_connections", "random_of_two", "weighted")
        ),
        *("nodecluster_compat.machine.sampling", "nodecluster_compat.thread_runtime.relaying"),
        "nodecluster_compat.thread_runtime.tls_socket",
        *(
            "nodecluster_compat.routing.issued",
            "nodecluster_compat.sharing.lmdb_file",
            "nodecluster_compat.messages.message_faults",
        ),
    }
)

IMPORTED: Final = """
import importlib, sys
from gunicorn import arbiter, glogging
from gunicorn.app import wsgiapp
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(*sorted(set(sys.modules) - before))
packages = tuple(f"nodecluster_compat.{name}." for name in ("_gunicorn.arbiter", "operations", "roles"))
for name, module in list(sys.modules.items()):
    if name.startswith(packages):
        for one in vars(module).values():
            if isinstance(one, type) and one.__module__ == name and getattr(one, "_is_protocol", False):
                print(f"{name}.{one.__name__}", end=" ")
"""


@cache
def imported(kind: str) -> tuple[list[str], list[str]]:
    """The modules that a kind of worker imports, and the protocols of the primary among what they have."""
    command = [sys.executable, "-c", IMPORTED, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    modules, protocols = done.stdout.split("\n")
    return modules.split(), protocols.split()


@KINDS
def test_what_few_servers_use_is_imported_by_whoever_uses_it(kind: str) -> None:
    """Each process of every server would hold it."""
    assert sorted(FEW_USE & set(imported(kind)[0])) == []


@KINDS
def test_protocols_of_the_primary_are_there_for_type_checkers_alone(kind: str) -> None:
    """At run time each of them would be a class with an ``ABCMeta``, its methods and their code: 5 KiB."""
    assert imported(kind)[1] == []


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("from nodecluster_compat.routing import StickyCookie as one", "nodecluster_compat.routing.issued"),
        ("from nodecluster_compat.policies import Weighted; one = Weighted(1)(None)", "weighted"),
        ("from nodecluster_compat import cluster as one; one.setup_primary(routing='cookie')", "secrets"),
    ],
)
def test_what_is_asked_for_is_there(program: str, expected: str) -> None:
    """By the names that the documentation has."""
    program += f"\nimport sys\nassert any(name.endswith({expected!r}) for name in sys.modules), one"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
