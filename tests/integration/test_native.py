"""A server says whether its C extension serves: in the first line of ours, and in the status."""

from __future__ import annotations

import pytest

from nodecluster_compat.base.native import in_force
from nodecluster_compat.base.version import __version__
from pytest_cluster import Cluster

WHY = "NODECLUSTER_NATIVE=0"


def asked() -> tuple[bool, str]:
    from nodecluster_compat import cluster

    native = cluster.status.native
    return native.is_on, native.why_not


@pytest.mark.cluster(workers=1, env={"NODECLUSTER_NATIVE": "0"})
def test_it_is_switched_off(cluster: Cluster) -> None:
    """In the first line of ours, and in the status."""
    from remote_control import wait_logged  # not at the top: servers import this file

    assert cluster.get("/").status == 200
    assert cluster.primary.run(asked) == (False, WHY)
    wait_logged(cluster, f"nodecluster-compat {__version__}, in Python alone ({WHY})")


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
@pytest.mark.cluster(workers=1)
def test_it_serves(cluster: Cluster) -> None:
    """Where it is built, and nobody has switched it off."""
    from remote_control import wait_logged

    assert cluster.get("/").status == 200
    assert cluster.primary.run(asked) == (True, "")
    wait_logged(cluster, f"nodecluster-compat {__version__}, with its C extension")
