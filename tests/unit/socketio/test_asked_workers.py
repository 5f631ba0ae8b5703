"""What becomes of a question about a client of another worker: its answer, or why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.errors import MessageNotSerializable, MessageTooLarge, RequestFailed, RequestTimedOut
from nodecluster_compat.socketio import ClusterManager
from nodecluster_compat.socketio.asked_workers import only_value, told_rooms
from nodecluster_compat.socketio.questions import Answers

LATE = Answers(missing=frozenset({2}))
FAILED = Answers(failures={2: "it cannot be sent"})


def answered(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What a worker with no client answers to a question."""
    manager = ClusterManager()
    answers: list[dict[str, Any]] = []
    manager._tell = lambda _, answer: answers.append(answer)  # type: ignore[method-assign]
    manager.told_ask(1, {"method": "ask", "id": 7, "asker": "name", "sid": "sid", "namespace": "/", **told})
    return answers


def test_rooms_of_nobody_are_none_and_those_that_nobody_has_told_are_unknown() -> None:
    assert told_rooms(Answers({1: [], 2: ["room"]}, missing=frozenset({3}))) == ["room"]
    assert told_rooms(Answers({1: []}, gone=frozenset({2}))) == []
    with pytest.raises(RequestTimedOut):
        told_rooms(LATE)


def test_a_session_that_cannot_be_had_is_not_that_of_nobody() -> None:
    assert only_value(Answers({2: {"a": 1}}, {3: "another cannot"})) == {"a": 1}
    with pytest.raises(KeyError, match="Session not found"):
        only_value(Answers())
    with pytest.raises(RequestFailed, match="it cannot be sent"):
        only_value(FAILED)
    with pytest.raises(RequestTimedOut):
        only_value(LATE)


@pytest.mark.parametrize("what", ["session", "save"])
def test_a_client_that_is_not_here_is_unknown(what: str) -> None:
    """A worker of an earlier version takes it for a failure."""
    (answer,) = answered({"what": what, "session": {}})
    assert answer == {"method": "answer", "id": 7, "asker": "name", "failure": "Session not found", "unknown": True}


def test_a_question_that_is_not_known_has_failed() -> None:
    (answer,) = answered({"what": "something of a later version"})
    assert "unknown" not in answer
    assert answer["failure"] == "something of a later version"


@pytest.mark.parametrize("error", [MessageNotSerializable, MessageTooLarge])
def test_who_asks_hears_why_an_answer_cannot_be_told(error: type[Exception]) -> None:
    manager = ClusterManager()
    answers: list[dict[str, Any]] = []

    def tell(_: int, answer: dict[str, Any]) -> None:
        if "value" in answer:
            raise error("as it is")
        answers.append(answer)

    manager._tell = tell  # type: ignore[method-assign]
    manager._answer(1, {"id": 7, "asker": "name"}, value="large")
    assert [(one["id"], one["failure"]) for one in answers] == [(7, "as it is")]
