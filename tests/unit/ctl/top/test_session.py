"""What each key does, and what becomes of what the server says."""

from __future__ import annotations

import copy

import pytest
from status_documents import made_status

from nodecluster_compat.ctl.top.rates import NO_RATES, Rates, WorkerRates
from nodecluster_compat.ctl.top.session import Ask, Session

STATUS = made_status()


@pytest.fixture
def session() -> Session:
    made = Session()
    made.update(STATUS, NO_RATES)
    return made


def slots(session: Session) -> list[int]:
    return [one["slot"] for one in session.workers]


def press(session: Session, *keys: str) -> list[Ask]:
    return [ask for ask in map(session.press, keys) if ask is not None]


def test_columns_sort_the_workers(session: Session) -> None:
    """What is not known comes last, whichever way."""
    session.rates = Rates(workers={1: WorkerRates(2.0), 3: WorkerRates(5.0)})
    assert slots(session) == [1, 2, 3]
    press(session, "S")
    assert slots(session) == [3, 2, 1]
    press(session, ">", "right", "s")
    assert slots(session) == [3, 1, 2]
    press(session, "S")
    assert slots(session) == [1, 3, 2]
    press(session, "<", "left", "<", "<")
    assert session.column == 12


def test_selection_moves_and_stays_with_its_worker(session: Session) -> None:
    press(session, "down", "j")
    assert session.selected == 3
    press(session, "down")
    assert session.selected == 3
    press(session, "S")
    assert session.selected == 3
    press(session, "end")
    assert session.selected == 1
    press(session, "page up", "k", "home")
    assert session.selected == 3
    session.update({**STATUS, "workers": STATUS["workers"][:2]}, NO_RATES)
    assert session.selected == 2  # the first one that is shown
    session.update({**STATUS, "workers": []}, NO_RATES)
    assert press(session, "down", "t", "r") == []
    assert (session.view, session.notice) == ("workers", "no worker is selected")


def test_stacks_are_asked_for_and_shown(session: Session) -> None:
    [ask] = press(session, "down", "t")
    assert ask.words == ("cluster stacks", "id:2")
    assert (session.view, session.lines) == ("text", ["asking ..."])
    session.answered(ask, {"workers": [{"slot": 2, "pid": 102, "stacks": "Thread 1\n\tin \x1b[31mf"}]})
    assert session.lines == ["--- worker 2 (pid 102) ---", "Thread 1", r"        in \x1b[31mf"]
    press(session, "down", "end", "down")
    assert session.scroll == 2
    press(session, "page up")
    assert session.scroll == 0
    [again] = press(session, "u")
    assert again.words == ask.words
    session.refused(again, "it has ended")
    assert session.lines == ["it has ended"]
    press(session, "q")
    assert session.view == "workers"
    session.answered(again, {"workers": []})  # nobody looks any more
    assert session.view == "workers"


def test_answer_to_what_was_asked_before_is_not_shown(session: Session) -> None:
    [stacks] = press(session, "t")
    [requests] = press(session, "q", "f")
    session.answered(stacks, {"workers": []})
    assert session.lines == ["asking ..."]
    session.answered(requests, {"requests": []})
    assert session.lines == ["no request is in flight"]


def test_exits_are_in_the_status(session: Session) -> None:
    assert press(session, "e") == []
    assert "crash" in session.lines[1]
    news = copy.deepcopy(STATUS)
    news["exits"].append({**news["exits"][0], "reason": "reload"})
    session.update(news, NO_RATES)
    press(session, "u", "down")
    assert session.lines[1].endswith("reload")
    press(session, "escape")
    assert session.view == "workers"


def test_restart_is_asked_twice(session: Session) -> None:
    """Any other key than y, and nothing is done."""
    for key in ("n", "r", "enter", "q", "up", ""):
        assert press(session, "r", key) == []
        assert (session.view, session.notice) == ("workers", "nothing was restarted")
    press(session, "r")
    assert session.question.startswith("Restart worker 1 (pid 101)? ")
    [ask] = press(session, "y")
    assert ask.words == ("cluster restart", "id:1")
    session.answered(ask, {"workers": []})
    assert session.notice == "restart of worker 1 (pid 101): begun"
    session.refused(ask, "there is no\nworker")
    assert session.notice == r"restart of worker 1 (pid 101): there is no\nworker"


def test_worker_that_ends_before_the_answer_is_not_restarted(session: Session) -> None:
    """Nor is another one in its stead, though that is selected then."""
    press(session, "r")
    session.update({**STATUS, "workers": STATUS["workers"][1:]}, NO_RATES)
    assert press(session, "y") == []
    assert session.notice == "it has ended meanwhile"


def test_pause_keeps_what_is_shown(session: Session) -> None:
    press(session, "space")
    session.update({**STATUS, "pid": 5}, NO_RATES)
    assert session.status == STATUS
    press(session, "space")
    session.update({**STATUS, "pid": 5}, NO_RATES)
    assert session.status == {**STATUS, "pid": 5}


def test_help_and_the_end(session: Session) -> None:
    press(session, "?", "q")
    assert (session.view, session.is_over) == ("workers", False)
    press(session, "h", "x", "unknown", "", "q")
    assert session.is_over


def test_server_that_is_gone_is_said_until_it_answers(session: Session) -> None:
    session.lost("gone\x1b")
    assert session.trouble == r"gone\x1b"
    session.update(STATUS, NO_RATES)
    assert session.trouble is None
