"""Titles of processes, with a library that only remembers them."""

from __future__ import annotations

from nodecluster_compat.machine.process_title import ProcessTitle


class Library:
    """setproctitle, as far as it is used."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.told: list[str] = []

    def getproctitle(self) -> str:
        return self.title

    def setproctitle(self, title: str) -> None:
        title.encode()  # the library's C has UTF-8
        self.title = title
        self.told.append(title)


def test_title_is_said_when_it_changes() -> None:
    library = Library("gunicorn: worker [app]")
    title = ProcessTitle("gunicorn", lambda name: library)
    for state in (" booting", " booting", "", "", " draining"):
        title.say(f"worker 2 [app]{state}")
    assert library.told == [
        "gunicorn: worker 2 [app] booting",
        "gunicorn: worker 2 [app]",
        "gunicorn: worker 2 [app] draining",
    ]


def test_title_of_somebody_else_is_left_alone() -> None:
    """A hook's, whether it came first or later; gunicorn's own, behind a reload, is not somebody else's."""
    library = Library("shop worker")
    title = ProcessTitle("gunicorn", lambda name: library)
    title.say("worker 2 [app]")
    assert library.told == []
    library.title = "gunicorn: master [app]"
    title.say("master [app] reloading")
    library.title = "my own"
    title.say("master [app]")
    assert library.told == ["gunicorn: master [app] reloading"]


def test_script_begins_its_title() -> None:
    library = Library("python -m nodecluster_compat server.py")
    title = ProcessTitle("nodecluster", lambda name: library)
    title.begin("primary [server.py]")
    title.say("primary [server.py] degraded")
    assert library.told == ["nodecluster: primary [server.py]", "nodecluster: primary [server.py] degraded"]


def test_script_may_have_any_bytes_in_its_path() -> None:
    library = Library("python")
    ProcessTitle("nodecluster", lambda name: library).begin("primary [caf\udce9.py]")
    assert library.told == ["nodecluster: primary [caf\\udce9.py]"]


def test_without_the_library_nothing_is_said() -> None:
    asked: list[str] = []

    def load(name: str) -> object:
        asked.append(name)
        raise ImportError(name)

    title = ProcessTitle("gunicorn", load)
    title.begin("master [app]")
    title.say("master [app] degraded")
    assert asked


def test_library_is_looked_for_once() -> None:
    """In the primary: a look that fails goes along the whole path, in pages that a worker would share."""
    looked: list[str] = []

    def load(name: str) -> object:
        looked.append(name)
        raise ImportError(name)

    for _ in range(2):
        ProcessTitle("gunicorn", load).say("worker 1 [app]")
    assert looked == ["setproctitle"]
