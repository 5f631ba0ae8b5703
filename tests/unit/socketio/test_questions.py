"""Questions to several workers end when all have answered, or are gone, or are late."""

from __future__ import annotations

from nodecluster_compat.socketio.questions import Answers, Questions


def begun(questions: Questions, *asked: int, **options: object) -> tuple[int, list[Answers]]:
    ended: list[Answers] = []
    return questions.begin(asked, ended.append, **options), ended  # type: ignore[arg-type]


def test_a_question_ends_when_all_have_answered() -> None:
    questions = Questions()
    number, ended = begun(questions, 1, 2)
    questions.answered(number, 1, "a")
    assert ended == []
    questions.failed(number, 2, "cannot")
    assert ended == [Answers({1: "a"}, {2: "cannot"})]
    assert not questions


def test_a_worker_that_has_no_such_client_has_said_nothing() -> None:
    questions = Questions()
    number, ended = begun(questions, 1, 2)
    questions.unknown(number, 1)
    questions.unknown(number, 3)
    assert ended == []
    questions.answered(number, 2, "a")
    assert ended == [Answers({2: "a"})]


def test_a_question_to_nobody_ends_at_once() -> None:
    _, ended = begun(Questions())
    assert ended == [Answers()]


def test_a_worker_that_is_gone_is_not_waited_for() -> None:
    questions = Questions()
    number, ended = begun(questions, 1, 2, 3)
    questions.answered(number, 1, "a")
    questions.members_changed({1, 3, 4})
    assert ended == []
    questions.members_changed({1, 4})
    assert ended == [Answers({1: "a"}, gone=frozenset({2, 3}))]


def test_what_has_not_come_in_time_is_named() -> None:
    questions = Questions()
    number, ended = begun(questions, 1, 2)
    questions.answered(number, 2, "b")
    questions.expire(number)
    questions.expire(number)
    questions.answered(number, 1, "late")
    assert ended == [Answers({2: "b"}, missing=frozenset({1}))]


def test_one_answer_may_suffice() -> None:
    questions = Questions()
    number, ended = begun(questions, 1, 2, 3, suffices=lambda value: value is not None)
    questions.answered(number, 1, None)
    assert ended == []
    questions.answered(number, 2, "here")
    assert ended == [Answers({1: None, 2: "here"})]


def test_only_who_was_asked_can_answer() -> None:
    """What a worker answers to one that is gone goes to all, and their questions have the same numbers."""
    questions = Questions()
    number, ended = begun(questions, 1)
    questions.answered(number, 2, "of another question")
    questions.failed(number, 2, "of another question")
    assert ended == []
    questions.answered(number, 1, "a")
    assert ended == [Answers({1: "a"})]


def test_answers_do_not_mix() -> None:
    questions = Questions()
    first, ended_first = begun(questions, 1)
    second, ended_second = begun(questions, 1)
    questions.answered(second, 1, "second")
    questions.answered(999, 1, "nobody asked")
    questions.answered(first, 1, "first")
    assert (ended_first, ended_second) == ([Answers({1: "first"})], [Answers({1: "second"})])
