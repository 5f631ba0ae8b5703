"""Keep state that all processes share, with verbs to await: ``cluster.store``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .entries import decode_value, key_of
from .store import Store

__all__ = ["AsyncStore"]


class AsyncStore(Store):
    """A :class:`~nodecluster_compat.sharing.store.Store` for tasks, too: each verb has a twin that ends in ``_async``.

    A twin holds up no event loop: what waits for a server, or for the writers of other processes, does so on a thread.
    What needs no waiting, as reading does on one host, is done at once.  Errors are those of the verb, and
    ``WouldBlock`` in a worker that has no event loop (only ``ASGIWorker`` has one).
    """

    async def get_async(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever was put there
        """Await :meth:`get`."""
        found = self.engine.at_hand(key_of(key))
        if found is None:
            return await self.apart(self.get, key, default)
        return default if found[0] is None else decode_value(found[0])

    async def get_many_async(self, keys: Iterable[str]) -> dict[str, Any]:
        """Await :meth:`get_many`."""
        found: dict[str, Any] = await self.apart(self.get_many, list(keys))
        return found

    async def set_async(self, key: str, value: Any, *, ttl: float | None = None, nx: bool = False) -> bool:  # noqa: ANN401
        """Await :meth:`set`."""
        return bool(await self.apart(self.set, key, value, ttl=ttl, nx=nx))

    async def set_many_async(self, values: Mapping[str, Any], *, ttl: float | None = None) -> None:
        """Await :meth:`set_many`."""
        await self.apart(self.set_many, dict(values), ttl=ttl)

    async def delete_async(self, *keys: str) -> int:
        """Await :meth:`delete`."""
        return int(await self.apart(self.delete, *keys))

    async def incr_async(self, key: str, amount: int = 1, *, ttl: float | None = None) -> int:
        """Await :meth:`incr`."""
        return int(await self.apart(self.incr, key, amount, ttl=ttl))

    async def compare_and_set_async(self, key: str, expected: Any, value: Any, *, ttl: float | None = None) -> bool:  # noqa: ANN401
        """Await :meth:`compare_and_set`."""
        return bool(await self.apart(self.compare_and_set, key, expected, value, ttl=ttl))

    async def update_async(
        self, key: str, step: Callable[[Any], tuple[Any, Any]], *, ttl: float | None = None, keep_ttl: bool = False
    ) -> Any:  # noqa: ANN401 - the function's
        """Await :meth:`update`; the function runs on another thread than the loop's."""
        return await self.apart(self.update, key, step, ttl=ttl, keep_ttl=keep_ttl)

    async def expire_async(self, key: str, ttl: float | None) -> bool:
        """Await :meth:`expire`."""
        return bool(await self.apart(self.expire, key, ttl))

    async def ttl_async(self, key: str) -> float | None:
        """Await :meth:`ttl`."""
        seconds: float | None = await self.apart(self.ttl, key)
        return seconds

    async def keys_async(self, prefix: str = "") -> list[str]:
        """Await :meth:`keys`."""
        found: list[str] = await self.apart(self.keys, prefix)
        return found

    async def delete_prefix_async(self, prefix: str) -> int:
        """Await :meth:`delete_prefix`."""
        return int(await self.apart(self.delete_prefix, prefix))

    async def clear_async(self) -> None:
        """Await :meth:`clear`."""
        await self.apart(self.clear)

    async def now_async(self) -> float:
        """Await :meth:`now`."""
        return float(await self.apart(self.now))
