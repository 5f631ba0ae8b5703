"""The share of a peer that always has more to say."""

import pytest

from nodecluster_compat.messages.pace import BURST_SECONDS, SHARE, Pace


def test_burst_is_not_slowed_down() -> None:
    pace = Pace(0.0)
    assert not any(pace.spend(BURST_SECONDS / 10, 0.0) for _ in range(10))


@pytest.mark.parametrize("slice_seconds", [0.0001, 0.001, 0.02])
def test_flood_gets_its_share(slice_seconds: float) -> None:
    pace, now, worked = Pace(0.0), 0.0, 0.0
    while now < 100:
        now += slice_seconds
        worked += slice_seconds
        now += pace.spend(slice_seconds, now)
    assert worked / now == pytest.approx(SHARE, abs=0.01)


def test_pause_earns_another_burst_and_no_more() -> None:
    pace = Pace(0.0)
    pace.spend(BURST_SECONDS, 0.0)
    assert pace.spend(0.0, 1000.0) == 0.0
    assert pace.spend(BURST_SECONDS, 1000.0) == 0.0
    assert pace.spend(0.01, 1000.0) == pytest.approx(0.01 / SHARE)
