"""Run what pytest does not parametrize with each number of workers: the tests of a ``TestCase``, and doctests.

In the place of each such test are as many as there are numbers, named as parametrized tests are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

from _pytest.doctest import DoctestItem
from _pytest.unittest import TestCaseFunction

from ..stash import WORKERS
from .asking import asks_for
from .parametrize import run_name, worker_counts

if TYPE_CHECKING:
    import pytest

__all__ = ["CountedDoctestItem", "CountedTestCaseFunction", "repeated"]


class CountedTestCaseFunction(TestCaseFunction):
    """A test of a ``TestCase`` whose name has a number of workers after that of its method."""

    def _getinstance(self) -> Any:  # noqa: ANN401 - pytest's signature: the user's test case
        return self.parent.obj(self.originalname)  # type: ignore[union-attr]


class CountedDoctestItem(DoctestItem):
    """A doctest that runs several times: it gets its names back, which doctest clears after a run.

    Attributes:
        names: the globals of its module.
    """

    names: dict[str, Any]

    def setup(self) -> None:
        """Give the examples a copy of the names, and what pytest adds to them."""
        self.dtest.globs = dict(self.names)
        super().setup()


def repeated(nodes: Iterable[pytest.Item | pytest.Collector]) -> list[pytest.Item | pytest.Collector]:
    """Return *nodes*, and in the place of each test that uses a cluster one for each number of workers."""
    return [copied for node in nodes for copied in _copies(node)]


def _copies(node: pytest.Item | pytest.Collector) -> Iterator[pytest.Item | pytest.Collector]:
    counts = worker_counts(node) if _is_plain(node) and asks_for(node) else ()
    if len(counts) < 2:
        yield node
        return
    for count in counts:
        name = f"{node.name}[{run_name(count)}]"
        one = _copy_of_method(node, name) if isinstance(node, TestCaseFunction) else _copy_of_doctest(node, name)
        one.stash[WORKERS] = count
        yield one


def _is_plain(node: pytest.Item | pytest.Collector) -> TypeGuard[TestCaseFunction | DoctestItem]:
    # A session has what its collectors have found when tests are chosen by name: copies, then.
    return isinstance(node, TestCaseFunction | DoctestItem) and WORKERS not in node.stash


def _copy_of_method(item: TestCaseFunction, name: str) -> TestCaseFunction:
    # With its function given, pytest does not look for one of the new name; then it is as if it had found it itself.
    one = CountedTestCaseFunction.from_parent(item.parent, name=name, callobj=item.obj.__func__)
    one.originalname = item.originalname
    one._obj = None
    del one._instance
    return one


def _copy_of_doctest(item: Any, name: str) -> pytest.Item:  # noqa: ANN401 - a DoctestItem
    one: CountedDoctestItem = CountedDoctestItem.from_parent(
        item.parent, name=name, runner=item.runner, dtest=copy.copy(item.dtest)
    )
    one.names = dict(item.dtest.globs)
    return one
