"""The same targets under atheris, which is led by coverage: ``python tests/fuzz/guided.py codec -runs=1000000``.

Options behind the target's name are libFuzzer's.  atheris is no dependency of the tests: ``pip install atheris``.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["nodecluster_compat", "gunicorn", "fuzz_native", "fuzz_nodes", "fuzz_targets", "fuzz_requests"]
):
    from run import ALL


def main() -> None:
    """Fuzz the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in ALL:
        sys.exit(f"expected one of {', '.join(ALL)} as first argument")
    target = ALL[sys.argv.pop(1)]
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.seeds):
            Path(folder, f"seed-{number}").write_bytes(seed)
        words = Path(folder, "words.dict")
        words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
        options = ["-max_len=4096", f"-dict={words}"] if target.words else ["-max_len=4096"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
