"""Random faults at random moments under load, from a seed: ``pytest tests/faults/test_chaos.py --chaos-seed 7``.

``--chaos-seconds 600`` lets it last. When it fails, the seed and what was done are in the message.
"""

from __future__ import annotations

from itertools import islice

import pytest
from chaos import Chaos, actions
from track import OPTIONS

from pytest_cluster import Cluster


def test_same_seed_gives_the_same_actions() -> None:
    assert list(islice(actions(5), 50)) == list(islice(actions(5), 50))
    assert list(islice(actions(5), 50)) != list(islice(actions(6), 50))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_chaos(pytestconfig: pytest.Config) -> None:
    seed, seconds = pytestconfig.getoption("chaos_seed"), pytestconfig.getoption("chaos_seconds")
    with Cluster.start(OPTIONS, pythonpath=OPTIONS.settings["pythonpath"]) as cluster:
        chaos = Chaos(cluster, seed)
        chaos.run(seconds)
        print(f"seed {seed}: {len(chaos.done)} faults, {len(cluster.every_worker)} workers, nothing lost")
