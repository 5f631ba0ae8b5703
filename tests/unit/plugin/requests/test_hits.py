"""Who answered what: the arithmetic, without a server."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_cluster import Hit, Hits, assert_distribution, assert_no_request_lost


def hits(*workers: int | None, concurrency: int = 1, listening: Iterable[int] = ()) -> Hits:
    made = (Hit("/", 200, one, "") if one else Hit("/", None, None, "ConnectionResetError: gone") for one in workers)
    return Hits(made, concurrency, listening)


def test_by_worker_counts_the_lost_last() -> None:
    assert hits(2, 1, None, 2).by_worker() == {1: 1, 2: 2, None: 1}
    assert list(hits(2, None, 1).by_worker()) == [1, 2, None]
    assert repr(hits(1, None)) == "<2 requests, 1 lost, by worker {1: 1, None: 1}>"


def test_by_text_counts_answers_only() -> None:
    made = [Hit("/", 200, 1, "", text) for text in ("old", "old", "new")]
    assert Hits([*made, Hit("/", None, None, "OSError: gone")]).by_text() == {"old": 2, "new": 1}


def test_round_robin_one_after_another_is_exact() -> None:
    assert_distribution(hits(1, 2, 3, 1))
    with pytest.raises(AssertionError, match=r"lie 2 apart, round robin allows 1 here:\n +worker 1      3 ####"):
        assert_distribution(hits(1, 1, 1, 2))
    assert_distribution(hits(1, 1, 1, 2), tolerance=2)


def test_round_robin_of_many_at_a_time_is_in_bounds() -> None:
    assert_distribution(hits(*[1] * 14, *[2] * 10, concurrency=2))
    with pytest.raises(AssertionError, match="5 apart, round robin allows 4"):
        assert_distribution(hits(*[1] * 15, *[2] * 10, concurrency=2))


def test_worker_that_got_nothing() -> None:
    with pytest.raises(AssertionError, match="nothing went to worker 3"):
        assert_distribution(hits(1, 2), workers=[1, 2, 3])


@pytest.mark.parametrize("policy", ["rr", "none"])
def test_workers_that_listened_must_have_answered(policy: str) -> None:
    """Also when nobody names them."""
    with pytest.raises(AssertionError, match=r"nothing went to worker 1, 3:\n +worker 2 +300 #"):
        assert_distribution(hits(*[2] * 300, listening=(1, 2, 3)), policy=policy)
    assert_distribution(hits(2, 2, listening=(1, 2, 3)), policy=policy, workers=[2])
    assert_distribution(hits(1, 2, 3, 4, listening=(1, 2, 3)), policy=policy)


def test_answers_that_name_no_worker() -> None:
    """As from gunicorn's own worker classes."""
    with pytest.raises(AssertionError, match="2 requests were answered, and no answer says by which worker: "):
        assert_distribution(Hits([Hit("/", 200, None, "")] * 2))
    with pytest.raises(AssertionError, match="no request was made"):
        assert_distribution(Hits([]))


def test_kernels_choice_only_has_to_be_answered() -> None:
    assert_distribution(hits(1, 1, 1, 1, 2), policy="none")
    with pytest.raises(AssertionError, match="1 of 2 requests were lost"):
        assert_distribution(hits(1, None), policy="none")
    with pytest.raises(ValueError, match="expected policy 'rr' or 'none', got 'random'"):
        assert_distribution(hits(1), policy="random")


def test_lost_requests() -> None:
    assert_no_request_lost(hits(1, 2))
    with pytest.raises(AssertionError, match=r"1 of 2 requests were lost:\n  / → ConnectionResetError: gone"):
        assert_no_request_lost(hits(1, None))
    with pytest.raises(AssertionError, match=r"/pay → 503 \(worker 2\)"):
        assert_no_request_lost(Hits([Hit("/pay", 503, 2, "")]))
    with pytest.raises(AssertionError, match="no request was made"):
        assert_no_request_lost(Hits([]))
