"""What only shows with more than one worker."""

from __future__ import annotations


def test_votes_at_the_same_time_are_all_counted(cluster, cluster_client, cluster_faults, choice):
    """Both workers have read the choice and are about to add their vote: the race, every time."""
    with cluster_faults.barrier("polls.models:Choice.add_vote", 2) as gate:
        votes = [cluster_client.submit(f"{choice}/vote", "POST") for _ in range(2)]
        assert [vote.result().status for vote in votes] == [200, 200]
    assert {arrival.worker for arrival in gate.arrivals} == {worker.id for worker in cluster.workers}
    assert cluster_client.get(choice).text == "2"


def test_cached_result_is_everybodys(cluster, cluster_client, choice):
    """Each worker has answered from the cache; one of them then takes a vote."""
    before = [cluster_client.get(choice) for _ in range(4)]
    assert {answer.text for answer in before} == {"0"}
    assert {answer.worker for answer in before} == {worker.id for worker in cluster.workers}
    cluster_client.post(f"{choice}/vote")
    assert [cluster_client.get(choice).text for _ in range(4)] == ["1", "1", "1", "1"]


def test_worker_that_dies_with_a_vote(cluster, cluster_client, cluster_faults, choice):
    """The voter is told nothing, nothing is counted, and the next vote is."""
    with cluster_faults.hold("polls.models:Choice.add_vote") as gate:
        vote = cluster_client.submit(f"{choice}/vote", "POST")
        (arrival,) = gate.wait_reached()
        with cluster.expect("exit", worker=arrival.worker):
            cluster.worker(arrival.worker).kill()
    assert isinstance(vote.exception(), ConnectionError)
    assert cluster_client.get(choice).text == "0"
    assert cluster_client.post(f"{choice}/vote").text == "thank you"
    assert cluster_client.get(choice).text == "1"
