"""The pages hold: Python compiles, files with a title run, links lead somewhere, table cells are short."""

from __future__ import annotations

import ast
import configparser
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import gunicorn.arbiter
import pytest

import pytest_cluster
from pytest_cluster import ClusterFactory
from pytest_cluster.waiting import poll

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("bench", "examples/node_port", "examples/ports", "tests/fuzz")),
]
FENCE: Final = re.compile(r'(?ms)^( *)```(\w*)(?: title="([^"]+)")?\n(.*?)^\1```$')
# A test with a title runs in a copy of the project that has its application, under the name it has here.
PROJECTS: Final = {"test_shop.py": "flask_shop", "test_pay.py": "flask_shop", "test_polls.py": "django_polls"}
# The pages show how this one fails.
FAILS: Final = {"test_pay.py": "SIGKILL (injected: SIGKILL to worker"}


class Block(NamedTuple):
    """A code block of a page; one with a title is a whole file, any other is a fragment."""

    page: Path
    language: str
    title: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.title}"


def blocks_of(page: Path) -> Iterator[Block]:
    for indent, language, title, code in FENCE.findall(page.read_text()):
        yield Block(page, language, title, re.sub(rf"(?m)^{indent}", "", code))


BLOCKS: Final = [block for page in PAGES for block in blocks_of(page)]
RECIPES: Final = ROOT / "docs" / "recipes.md"  # tests/recipes runs its files


def titled(*titles: str) -> list[Block]:
    return [block for block in BLOCKS if block.title in titles]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Block) else str(value)


def test_every_title_is_one_that_is_run() -> None:
    known = {"gunicorn.conf.py", "server.py", "shop.py", "test_visits.py", *PROJECTS}
    known.add("conftest.py")  # by tests/zoo, beside pytest-django
    assert {block.title for block in BLOCKS if block.title and block.page != RECIPES} == known


def test_api_of_the_plugin_is_whole() -> None:
    """Each public name, and what a class has from those below it: most of a cluster, and of the faults."""
    page = (ROOT / "docs" / "api" / "pytest_cluster.md").read_text()
    entries = dict(re.findall(r"(?m)^::: pytest_cluster\.(\w+)\n    options: (.*)$", page))
    assert sorted(set(pytest_cluster.__all__) - set(entries)) == []
    for name in pytest_cluster.__all__:
        named = getattr(pytest_cluster, name)
        below = named.__mro__[1:] if isinstance(named, type) else ()
        ours = [one for one in below if one.__module__.startswith("pytest_cluster.")]
        if any(not member.startswith("_") for one in ours for member in vars(one)):
            assert "inherited_members: true" in entries[name], name


def test_python_compiles() -> None:
    """Fragments, too."""
    python = [block for block in BLOCKS if block.language == "python"]
    assert len(python) > 20
    for block in python:
        compile(block.code, block.name, "exec")


@pytest.mark.parametrize("block", titled("gunicorn.conf.py"), ids=name_of)
def test_configuration_serves(block: Block, cluster_factory: ClusterFactory) -> None:
    app = {"app": "asgi_app:app"} if "ASGIWorker" in block.code else {}
    server = cluster_factory(workers=3, config=block.code, **app)
    assert server.get("/").status == 200
    server.stop()
    assert server.returncode == 0


@pytest.mark.parametrize("block", titled("server.py"), ids=name_of)
def test_script_serves(block: Block, cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    assert ".listen(8000)" in block.code
    (tmp_path / "server.py").write_text(block.code.replace(".listen(8000)", ".listen(0)"))
    server = cluster_factory(script=str(tmp_path / "server.py"), workers=2)
    assert server.get("/").status == 200


def runs() -> list[tuple[Path, str, list[Block]]]:
    """What one run of pytest can take together: the tests of a page for one project, with one way to end."""
    tests = sorted(titled(*PROJECTS), key=lambda block: (block.page, PROJECTS[block.title], block.title in FAILS))
    groups = itertools.groupby(tests, lambda block: (block.page, PROJECTS[block.title], block.title in FAILS))
    return [(page, project, list(found)) for (page, project, _), found in groups]


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """As the owner of the folder runs it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("page", "project", "tests"), runs(), ids=lambda value: Path(str(value)).name[:20])
def test_tests_do_what_the_page_says(page: Path, project: str, tests: list[Block], tmp_path: Path) -> None:
    folder = tmp_path / project
    shutil.copytree(ROOT / "examples" / project, folder, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    for number, block in enumerate(tests):
        (folder / f"test_block_{number}.py").write_text(block.code)
    done = run_pytest(folder)
    assert "error" not in done.stdout.splitlines()[-1], done.stdout
    for block in tests:
        assert done.returncode == (1 if block.title in FAILS else 0), done.stdout
        assert FAILS.get(block.title, "") in done.stdout


@pytest.mark.timeout(300)
def test_counter_is_wrong_as_the_page_says(tmp_path: Path) -> None:
    """What the page prints of its first recipe is printed."""
    (tmp_path / "shop.py").write_text("".join(block.code for block in titled("shop.py")))
    (tmp_path / "test_visits.py").write_text("".join(block.code for block in titled("test_visits.py")))
    done = run_pytest(tmp_path, "--cluster-app=shop:app", "--cluster-compare")
    assert "test_visits.py::test_visits: passes with 1 worker, fails with 2" in done.stdout
    assert "AssertionError: assert ['1', '1', '2'] == ['1', '2', '3']" in done.stdout
    assert "AssertionError: visits_here() is not the same in every worker:" in done.stdout
    assert sorted(re.findall(r"(?m)^E +worker [12]: (\d)$", done.stdout)) == ["0", "1"]


def commands() -> list[str]:
    """Every line of a block of commands, or after a prompt."""
    shell = [line for block in BLOCKS if block.language == "sh" for line in block.code.splitlines()]
    console = [line[2:] for block in BLOCKS if block.language == "console" for line in block.code.splitlines()]
    return [*shell, *(line for line in console if line)]


def test_commands_name_what_exists() -> None:
    named = {
        word
        for line in commands()
        for word in re.findall(r"(?<![\w/.])(?:bench|docs|examples|tests)/[\w./-]+", line)
        if "*" not in word
    }
    assert named
    assert {word for word in named if not (ROOT / word).exists()} == set()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_command_that_serves_the_example(page: str, tmp_path: Path) -> None:
    """The installing part is taken as done, and the port is any."""
    line = next(block.code for block in blocks_of(ROOT / page) if "bin/gunicorn -c" in block.code)
    command = shlex.split(line.rpartition("&&")[2])
    command[0] = str(Path(sys.executable).with_name(Path(command[0]).name))
    output = tmp_path / "output"
    with output.open("w") as file:
        server = subprocess.Popen([*command, "-b", "127.0.0.1:0"], cwd=ROOT, stdout=file, stderr=file)
    try:
        assert poll(lambda: output.read_text().count("listens on 127.0.0.1:") == 3, 20), output.read_text()
    finally:
        server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/performance.md"])
def test_figure_is_the_measured_one(page: str) -> None:
    """The page says of a keep-alive request what the table of results says."""
    said = re.search(r"keep-alive\s+request\s+costs\s+(\d\.\d\d)\s+of", (ROOT / page).read_text())
    results = (ROOT / "docs" / "performance.md").read_text()
    measured = re.search(r"\| keep-alive hello, CPU per request \| .* stock `-k gevent` \| (\d\.\d\d) ", results)
    assert said is not None
    assert measured is not None
    assert said[1] == measured[1]


def test_units_of_systemd_can_be_read() -> None:
    (unit,) = (block for block in BLOCKS if "[Service]" in block.code)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(unit.code)
    assert "nodecluster_compat.reload" in parser["Service"]["ExecReload"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Also from the pages that the site does not have."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", FENCE.sub("", page.read_text()))
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Markdown's table of contents makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", FENCE.sub("", page.read_text()))
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).encode("ascii", "ignore").decode() for heading in headings]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]*\.md|)#([^)\s]+)\)", FENCE.sub("", page.read_text()))
    targets = {(name, anchor): (page.parent / name if name else page) for name, anchor in links}
    written = {name: ROOT / "CONTRIBUTING.md" if name.name == "contributing.md" else name for name in targets.values()}
    assert [link for link, name in targets.items() if link[1] not in anchors(written[name])] == []


def test_what_pages_include_has_no_links_of_its_own() -> None:
    """They would lead somewhere from where it is, or from the page, and not from both."""
    included = {name for page in PAGES for name in re.findall(r'--8<-- "([^"]+\.md)"', page.read_text())}
    assert included
    pages = {name: (ROOT / name).read_text() for name in included}
    linked = [(name, link) for name, text in pages.items() for link in re.findall(r"\]\((docs/[^)]*)\)", text)]
    assert linked == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_table_cells_are_short(page: Path) -> None:
    """Two lines at most, of a table with two columns or with more; longer text is prose or a list."""
    rows = [line for line in FENCE.sub("", page.read_text()).splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    links = re.compile(r"\[([^]]*)\]\([^)]*\)")  # a reader sees their text alone
    files = re.compile(r"(`[^`]+`[,;]? ?)+")  # a list of them has no sentence that could be shorter
    seen = [[links.sub(r"\1", cell) for cell in row if not files.fullmatch(cell)] for row in split]
    assert [cell for row in seen for cell in row if len(cell) > (160 if len(row) < 3 else 140)] == []


def test_news_is_short() -> None:
    """A sentence of one line, for who upgrades."""
    fragments = [path for path in sorted((ROOT / "newsfragments").glob("*.md")) if path.name != "README.md"]
    assert fragments
    long = [path.name for path in fragments if len(path.read_text().split()) > 40]
    folded = [path.name for path in fragments if path.read_text().strip().count("\n")]
    assert (long, folded) == ([], [])


def test_table_of_suites_is_what_their_runs_are_held_to() -> None:
    """`tox -e real` runs them."""
    from real_suites import HEADING, SUITES, row

    lines = (ROOT / "docs" / "testing-suites.md").read_text().splitlines()
    assert [line for line in (HEADING, *map(row, SUITES)) if line not in lines] == []


MADE_ELSEWHERE = 24
"""Lines of the log whose text the call of the logger does not have on the spot."""


PUT_TOGETHER = (
    "Reload N failed",
    "Worker (pid:P) did not end within",
    "Worker (pid:P) ends although",
    "GET /path from C took",
    "No control socket for now",
    "Unhandled 'error' event",
)
"""Lines that have a piece which is put in, or made of several texts."""


def logged_texts() -> Iterator[tuple[str, str]]:
    """The level and the text of each call of a logger that has its text on the spot."""
    for path in sorted((ROOT / "nodecluster_compat").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                text = node.args[0]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield {"exception": "error"}.get(node.func.attr, node.func.attr), text.value


def strings() -> str:
    """All text that our files and gunicorn's arbiter have."""
    paths = [*(ROOT / "nodecluster_compat").rglob("*.py"), Path(gunicorn.arbiter.__file__)]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    return "\0".join(one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_lines_of_the_log_have_their_levels() -> None:
    """Alerts filter by them.  Those whose text is not in the call of the logger have a text that is somewhere."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Log lines\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (`.*`) \| ([a-z, ]+) \|", section)
    assert len(rows) == section.count("\n| `")
    logged = [(level, text) for level, text in logged_texts() if level in {"info", "warning", "error", "critical"}]
    everything = strings()
    elsewhere = []
    for lines, levels in rows:
        said = levels.split(", ")
        for line, level in itertools.zip_longest(re.findall("`([^`]+)`", lines), said, fillvalue=said[-1]):
            pieces = [piece.strip(" .:()") for piece in re.split(r"\.\.\.|\b[A-Z]\b", line)]
            real = {level for level, text in logged if all(piece in text for piece in pieces)}
            assert not real or level in real, line
            assert line.startswith(PUT_TOGETHER) or all(piece.strip(" ,;") in everything for piece in pieces), line
            elsewhere += [] if real else [line]
    assert len(elsewhere) <= MADE_ELSEWHERE, elsewhere
