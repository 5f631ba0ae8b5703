"""Find out what was loaded too early for gevent: libraries that have kept what it replaces in the workers.

gevent replaces names in modules of the standard library.  Who has copied such a name before (``from time import
sleep``), or derived a class, keeps the original.  With ``preload_app`` the application and all that it imports are
loaded before; without it, what ``gunicorn.conf.py`` imports.

* The original ``SSLContext`` recurses without end as soon as the other one is there.
* What waits by an original stops all of its worker while it waits.
* gRPC waits in C: it has a support of its own for gevent, which somebody has to switch on.

Not looked for: locks that were made before, because nearly every library has some, and hardly one waits for them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from types import ModuleType
from typing import Any, Final

from gevent import monkey

__all__ = ["GRPC_UNPREPARED", "early_sentences", "is_grpc_unprepared", "take_for_known"]

GRPC_UNPREPARED: Final = (
    "Loaded without its support for gevent: grpc. Each call stops all of its worker while it waits. Write into "
    "gunicorn.conf.py: 'from gevent import monkey; monkey.patch_all()' as its first line, and "
    "'def post_fork(server, worker): import grpc.experimental.gevent; grpc.experimental.gevent.init_gevent()'"
)
_SENTENCE: Final = (
    "Loaded before gevent patches the workers: {}. Write as the first line of gunicorn.conf.py: "
    "from gevent import monkey; monkey.patch_all()"
)
_RECURSING: Final = {"ssl": ("SSLContext",)}
_WAITING: Final = {
    "queue": ("SimpleQueue",),
    "select": ("poll", "select"),
    "socket": ("getaddrinfo", "gethostbyname", "socket"),
    "subprocess": ("Popen",),
    "time": ("sleep",),
}
_KNOWN: Final = frozenset(
    {"__main__", "gevent", "greenlet", "gunicorn", "nodecluster_compat", "pytest_cluster", "zope"}
)
_SITES: Final = ("site-packages", "dist-packages")


class _ThisProcess:
    known_until = ""  # the module that was loaded last, of those that need not be looked at


def take_for_known() -> None:
    """In a template that has imported a server and nothing else: look only at what is loaded from now on.

    Looking at a module of a template copies its page (``machine/frozen.py``).
    """
    _ThisProcess.known_until = next(reversed(sys.modules))


def early_sentences() -> list[str]:
    """In the primary, with all loaded that its workers are born with: say what fails or waits there, by name."""
    try:
        return _sentences()
    except Exception as error:  # noqa: BLE001 - modules hold what they like, and looking must not stop a server
        return [f"Could not look for libraries that were loaded before gevent has patched: {error!r}"]


def _sentences() -> list[str]:
    modules = _modules()
    recursing = _holders(modules, _RECURSING)
    waiting = _holders(modules, _WAITING)
    parts = []
    if recursing:
        names = sorted({*recursing, *_users_of(modules, set(recursing))})
        parts.append(f"{', '.join(names)} (ssl.SSLContext: RecursionError)")
    for what in sorted(set(waiting.values())):
        names = sorted(name for name, held in waiting.items() if held == what)
        parts.append(f"{', '.join(names)} ({what}: stops all of its worker while it waits)")
    return [_SENTENCE.format("; ".join(parts))] if parts else []


def is_grpc_unprepared() -> bool:
    """In a worker that has booted: whether gRPC is loaded and does not know of gevent."""
    core = sys.modules.get("grpc._cython.cygrpc")
    return core is not None and getattr(core, "g_gevent_activated", True) is False


def _modules() -> list[tuple[str, ModuleType]]:
    """The loaded modules that are nobody's who knows, with the names of their packages."""
    found = []
    names = list(takewhile(_ThisProcess.known_until.__ne__, reversed(sys.modules)))  # in C: no thread imports meanwhile
    for name in reversed(names):
        module: Any = sys.modules.get(name)
        package = name.partition(".")[0]
        if package not in _KNOWN and package not in sys.stdlib_module_names and _is_a(module, ModuleType):
            found.append((package, module))
    return found


def _holders(modules: Iterable[tuple[str, ModuleType]], wanted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Who has one of the originals: the names of packages, and what they have."""
    originals = dict(_originals(wanted))
    found: dict[str, str] = {}
    for package, module in modules:
        for value in list(vars(module).values()):
            if id(value) in originals:
                found.setdefault(package, originals[id(value)])
            elif _is_a(value, type) and value.__module__ == vars(module).get("__name__"):
                for base in value.__mro__[1:]:
                    if id(base) in originals:
                        found.setdefault(package, originals[id(base)])
    return found


def _originals(wanted: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[int, str]]:
    for module_name, names in wanted.items():
        module = importlib.import_module(module_name)
        saved: dict[str, Any] = monkey.saved.get(module_name, {})
        for name in names:
            original = saved.get(name, getattr(module, name, None))
            if original is not None:
                yield id(original), f"{module_name}.{name}"


def _users_of(modules: list[tuple[str, ModuleType]], packages: set[str]) -> set[str]:
    """The installed packages that stand on these, and on those: an operator may know only them by name."""
    uses: dict[str, set[str]] = {}
    for package, module in modules:
        if any(site in str(vars(module).get("__file__")) for site in _SITES):
            uses.setdefault(package, set()).update(_packages_in(module))
    found: set[str] = set()
    grown = True
    while grown:
        more = {package for package, used in uses.items() if used & (packages | found)} - packages - found
        found |= more
        grown = bool(more)
    return found


def _packages_in(module: ModuleType) -> Iterator[str]:
    for value in list[Any](vars(module).values()):
        if _is_a(value, ModuleType):
            yield str(vars(value).get("__name__")).partition(".")[0]
        elif _is_a(value, type):
            yield str(value.__module__).partition(".")[0]


def _is_a(value: object, kind: type) -> bool:
    """Like ``isinstance``, but asks the value itself nothing: Django's settings load what they stand for when asked."""
    return issubclass(type(value), kind)
