"""Replace a function by a wrapper where its module, class or object keeps it, and put it back."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec

__all__ = ["Replaced", "place_of"]

P = ParamSpec("P")

_ABSENT = object()


def place_of(step: str) -> tuple[object, str]:
    """Return who keeps the function of a step, ``module:name``, and by which name.

    :raises ImportError, AttributeError: there is no such function.
    """
    module, _, path = step.partition(":")
    owner: object = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name


@dataclass(frozen=True, slots=True)
class Replaced:
    """A function that is replaced by a wrapper where it was found, as ``unittest.mock.patch`` replaces.

    What a class keeps is wrapped as it is kept, so that a static method stays one; what is inherited, or belongs to the
    class of an object, is left alone, and hidden for the time.
    """

    owner: object
    name: str
    kept: object
    """As the owner has it; ``_ABSENT`` when it has it from elsewhere."""

    @classmethod
    def put(
        cls, owner: object, name: str, before: Callable[[], None], before_task: Callable[[], Awaitable[None]]
    ) -> Replaced:
        """Put a wrapper there that calls *before* and then the original; an ``async def`` one awaits *before_task*."""
        kept = vars(owner).get(name, _ABSENT)
        static = inspect.getattr_static(owner, name, None) if isinstance(owner, type) else None
        if isinstance(static, staticmethod | classmethod):
            setattr(owner, name, type(static)(_wrapper(static.__func__, before, before_task)))
        else:
            setattr(owner, name, _wrapper(getattr(owner, name), before, before_task))
        return cls(owner, name, kept)

    def restore(self) -> None:
        """Put back what was there."""
        if self.kept is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.kept)


def _wrapper(
    original: Callable[P, Any], before: Callable[[], None], before_task: Callable[[], Awaitable[None]]
) -> Callable[P, Any]:
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def reached_in_task(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - the original's
            await before_task()
            return await original(*args, **kwargs)

        return reached_in_task

    @functools.wraps(original)
    def reached(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - the original's
        before()
        return original(*args, **kwargs)

    return reached
