"""The targets of the C extension, led by what it does with them: ``python tests/fuzz/covered.py turns --minutes 60``.

The extension is compiled into a temporary folder so that it tells which of its edges an input takes.  One that takes a
new one is kept, and changed further.  gcc is enough; what ends a run is as with ``run.py``.

Each input goes through C.  One that takes a new edge, and a share of the others, goes through C and Python as well.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import hashlib
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from journal import Journal
from repeats import Repeats

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parents[1]
_LIBRARY: Final = "FUZZ_COVERAGE"
_JOURNAL: Final = "FUZZ_JOURNAL"
_PATIENCE: Final = 600.0  # seconds for so many inputs
_BATCH: Final = 1000
_TOLD: Final = 250_000  # inputs, after which it says how far it is
_MOST_MORE: Final = 256  # descriptors than at the begin; what is kept, or waits for the collector, has some
_TRIES: Final = 50  # of an input that there was not
_GARBAGE: Final = 20_000  # objects, before they are collected: each input makes a few cycles


def main() -> int:
    """Build, and do the rest in a process that has what was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="+", help="of those of the C extension, as run.py names them")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="at most, for each target (%(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="likewise (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the generator (%(default)s)")
    parser.add_argument("--corpus", type=Path, help="a folder with one for each target: what is kept, to begin with")
    parser.add_argument("--compared", type=float, default=0.01, help="share of what takes no new edge (%(default)s)")
    parser.add_argument("--sanitized", action="store_true", help="with addresses and undefined behaviour watched")
    options = parser.parse_args()
    if _LIBRARY in os.environ:
        return _Run(options).run()
    with TemporaryDirectory() as folder:
        environment = _built(Path(folder), options.sanitized)
        given = [word for word in sys.argv if word not in options.target]
        codes = [_of_one(target, given, environment) for target in options.target]
        return int(any(codes))  # that of a signal is negative


def _of_one(target: str, given: list[str], environment: dict[str, str]) -> int:
    with subprocess.Popen([sys.executable, *given, target], env=environment) as run:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda sent, _: run.send_signal(sent))
        code = run.wait()
    if code:
        for number, data in enumerate(Journal(Path(environment[_JOURNAL])).inputs()):
            Path(f"fuzz-{target}-last-{number:02}.bin").write_bytes(data)
        print(f"{target}: ended with {code}; the last inputs are in fuzz-{target}-last-*.bin", file=sys.stderr)
    return code


def _built(folder: Path, is_sanitized: bool) -> dict[str, str]:
    sys.path.append(str(_ROOT / "native"))
    import building
    import sanitized

    library, package = folder / "coverage.so", folder / "nodecluster_compat"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, _HERE / "coverage.c"], check=True)
    sanitized.link(package)
    kind = sanitized.KINDS["quick"]
    flags = (*sanitized.ALWAYS, *kind.flags) if is_sanitized else ()
    building.build(package, ("-fsanitize-coverage=trace-pc", *flags), loads=False)
    environment = sanitized.environment_of(kind, str(folder)) if is_sanitized else dict(os.environ)
    path = os.pathsep.join(map(str, (folder, _HERE, _ROOT / "tests" / "support")))
    ours = {_LIBRARY: str(library), _JOURNAL: str(folder / "journal"), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    first = " ".join(filter(None, (environment.get("LD_PRELOAD"), str(library))))
    return {**environment, **ours, "LD_PRELOAD": first}


class _Run:
    """One target."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.coverage = ctypes.CDLL(os.environ[_LIBRARY], ctypes.RTLD_GLOBAL)
        self.options, (self.name,) = options, options.target
        self.folder = None if options.corpus is None else options.corpus / self.name
        self.target = self._target()
        self.rng = random.Random(f"{self.name} {options.seed}")
        self.corpus: list[bytes] = []
        self.seconds: dict[bytes, float] = {}  # that what was kept has taken
        self.journal = Journal(Path(os.environ[_JOURNAL]))
        self.repeats = Repeats()
        self.inputs = self.compared = self.skipped = self.size = 0
        self.has_begun = self.is_over = False

    def _target(self) -> Any:
        from run import ALL  # with the extension, which needs the library

        logging.disable(logging.CRITICAL)
        if self.name not in ALL:
            sys.exit(f"expected one of {', '.join(ALL)}")
        return ALL[self.name]

    def run(self) -> int:
        """Do it; return the code to exit with."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        began = time.monotonic()
        gc.set_threshold(_GARBAGE)
        for data in [*self.target.seeds, *self._kept()]:
            self._is_repeated(data)
            self._check(data)
            self.corpus.append(data)
        self.has_begun = True
        gc.collect()
        gc.freeze()
        descriptors = _descriptors() + _MOST_MORE
        while not self.is_over and self.inputs < self.options.inputs:
            if self.inputs % _BATCH == 0:
                faulthandler.dump_traceback_later(_PATIENCE, exit=True)
                assert _descriptors() < descriptors, "descriptors are lost"
            if self.inputs % _TOLD == 0:
                self._tell(time.monotonic() - began)
            data = self._next()
            if self._check(data):
                self._keep(data)
            self.is_over |= time.monotonic() - began > self.options.minutes * 60
        self._tell(time.monotonic() - began)
        return 0

    def _next(self) -> bytes:
        """Return an input that there was not, unless that is hard to find."""
        from fuzz_mutation import mutated

        for _ in range(_TRIES):
            data = mutated(self.rng, self.corpus, self.target.words, self._choice())
            if not self._is_repeated(data):
                break
        return data

    def _choice(self) -> bytes:
        """Half of the time, from what was found last: that leads on.  Of three, the one that took the least time."""
        corpus = self.corpus if self.rng.random() < 0.5 else self.corpus[-32:]
        return min((self.rng.choice(corpus) for _ in range(3)), key=lambda one: self.seconds.get(one, 0.0))

    def _is_repeated(self, data: bytes) -> bool:
        """Return whether C has done it before; one that it has not seen counts among those from now on."""
        is_repeated = self.repeats.is_one(data[: self.target.read])
        self.skipped += is_repeated
        return is_repeated

    def _check(self, data: bytes) -> bool:
        """Return whether an input has led to something new."""
        self.inputs += 1
        self.size += len(data)
        self.journal.note(data)
        began = time.thread_time()
        self.coverage.begin()
        try:
            (self.target.alone or self.target.check)(data)
            is_new = bool(self.coverage.news())
            if is_new or not self.has_begun:
                self.seconds[data] = time.thread_time() - began
            self._compare(data)
        except BaseException:
            path = Path(f"fuzz-{self.name}-{hashlib.sha256(data).hexdigest()[:12]}.bin")
            path.write_bytes(data)
            print(f"{self.name}: an input breaks a promise; it is in {path.resolve()}", file=sys.stderr)
            raise
        return is_new

    def _compare(self, data: bytes) -> None:
        if self.target.alone is None:
            self.compared += 1
        elif self.coverage.new_edges() or self.rng.random() < self.options.compared:
            self.compared += 1
            self.target.check(data)

    def _kept(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder.glob("*"))] if self.folder is not None else []

    def _keep(self, data: bytes) -> None:
        self.corpus.append(data)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def _end(self, *_: object) -> None:
        self.is_over = True

    def _tell(self, seconds: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        used = time.process_time()
        print(
            f"{self.name:8} {self.inputs:>9} inputs, {self.compared} compared, {self.skipped} repeated  "
            f"{self.size / 1e6:7.1f} MB  {seconds:7.1f} s  {used:7.1f} s CPU  "
            f"{self.coverage.edges()} edges  {len(self.corpus)} kept  peak {peak} MiB  seed {self.options.seed}",
            flush=True,
        )


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    sys.exit(main())
