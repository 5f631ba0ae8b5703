"""Feed mutated inputs to the readers of other people's bytes: ``python tests/fuzz/run.py --inputs 1000000``.

The same seed makes the same inputs.  An input that breaks a promise is written to a file, and ends the run with
code 1; so does one that takes longer than ``--patience``, or that makes the process larger than ``--memory``.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import random
import resource
import sys
import time
from pathlib import Path
from typing import Final

from fuzz_bodies import BODIES
from fuzz_mutation import mutated
from fuzz_native import NATIVE
from fuzz_nodes import NODES
from fuzz_reads import READS
from fuzz_requests import REQUESTS
from fuzz_takes import TAKES
from fuzz_targets import TARGETS, Target
from fuzz_turns import TURNS
from fuzz_worker import WORKER

_KINDS: Final = (TARGETS, NODES, REQUESTS, READS, BODIES, WORKER, NATIVE, TURNS, TAKES)
ALL: Final[dict[str, Target]] = {name: target for kind in _KINDS for name, target in kind.items()}
_BATCH: Final = 10_000


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=list(ALL), action="append", help="default: each in turn")
    parser.add_argument("--inputs", type=int, default=100_000, help="how many for each target (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the generator (%(default)s)")
    parser.add_argument("--patience", type=float, default=60, help="seconds for 10 000 inputs (%(default)s)")
    parser.add_argument("--memory", type=int, default=1024, help="MiB of address space beyond the start (%(default)s)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    _limit_memory(options.memory)
    return max([_run(name, options.inputs, options.seed, options.patience) for name in options.target or ALL])


def _limit_memory(mebibytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + mebibytes * 1024 * 1024, resource.RLIM_INFINITY))


def _run(name: str, inputs: int, seed: int, patience: float) -> int:
    target, rng = ALL[name], random.Random(f"{name} {seed}")
    corpus, words, check = list(target.seeds), list(target.words), target.check
    for data in corpus:
        check(data)
    began, size = time.monotonic(), 0
    for number in range(1, inputs + 1):
        data = mutated(rng, corpus, words)
        size += len(data)
        try:
            check(data)
        except BaseException:
            path = Path(f"fuzz-{name}-{seed}-{number}.bin")
            path.write_bytes(data)
            print(f"{name}: input {number} of seed {seed} breaks a promise; it is in {path.resolve()}", file=sys.stderr)
            raise
        if number % _BATCH == 1:
            faulthandler.dump_traceback_later(patience, exit=True)
    faulthandler.cancel_dump_traceback_later()
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = time.monotonic() - began
    print(
        f"{name:10} {inputs:>10} inputs  {size / 1e6:8.1f} MB  {seconds:7.1f} s  {inputs / seconds:8.0f}/s  "
        f"peak {peak} MiB  seed {seed}",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
