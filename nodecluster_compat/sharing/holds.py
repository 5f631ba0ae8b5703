"""Hold names on a server that several hosts share, each until a time: scripts of Redis, and their arguments.

A hold is a key that has an end (``SET … NX PX``) and says whose it is.  Its token is larger than every token before
it, also after a server has lost what it kept, or the last of it: a counter that is never behind the server's time (a
*fencing token*).

On one host only one process at a time asks for a place, because the primary has given it that place first.  So a hold
of another process of the host on that place ends with its successor's hold, at once.

A server that was started again, or a replica that has taken over, may have forgotten holds: all of them, or those that
were not on its disk yet.  So holders are given the time to say what they hold if the server is another run than the one
before, or if it has forgotten everything and the process that asks has known it before.

A server that has nothing of ours may be new, or it may have forgotten everything while the process that asks knew
nothing of it.  It counts as new if it has run for longer than holders need to speak, and can have lost nothing before:
it has read nothing from a disk, and was no replica.

    value = host : place on the host : token of the primary's
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from .server_lines import COMPARE_RUN

__all__ = ["Places", "free", "renew", "take", "value_of"]

_TAKE: Final = """
local found = nil
for at = 4, #KEYS do
  local held = redis.call('GET', KEYS[at])
  if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then
    found = at
    redis.call('SET', KEYS[at], ARGV[2], 'PX', ARGV[3])
    break
  end
end
local function said(info, name)
  return type(info) == 'string' and string.match(info, name .. ':(%w+)')
end
local function is_new()
  local info = redis.pcall('INFO')
  return tonumber(said(info, 'uptime_in_seconds') or 0) > tonumber(ARGV[4]) / 1000
    and said(info, 'rdb_last_load_keys_loaded') == '0' and said(info, 'aof_enabled') == '0'
    and string.find(info, 'second_repl_offset:-1', 1, true)
end
local is_other = false
if ARGV[6] ~= '0' then
  local known = redis.call('GET', KEYS[3])
  local run = said(redis.pcall('INFO', 'server'), 'run_id') or known
  is_other = known and run ~= known
  if run ~= known then redis.call('SET', KEYS[3], run) end
end
if is_other or redis.call('EXISTS', KEYS[1]) == 0 and (ARGV[5] == '1' or not is_new()) then
  redis.call('SET', KEYS[2], 1, 'PX', ARGV[4])
end
if not found and redis.call('EXISTS', KEYS[2]) == 0 then
  for at = 4, #KEYS do
    if redis.call('SET', KEYS[at], ARGV[2], 'NX', 'PX', ARGV[3]) then
      found = at
      break
    end
  end
end
if found or redis.call('EXISTS', KEYS[1]) == 0 then
  local now = redis.call('TIME')
  local least = (now[1] * 1000 + math.floor(now[2] / 1000)) * 4096
  if tonumber(redis.call('GET', KEYS[1]) or 0) < least then redis.call('SET', KEYS[1], string.format('%.0f', least)) end
end
if not found then return false end
redis.call('INCR', KEYS[1])
return {found - 4, redis.call('GET', KEYS[1])}
"""
_RENEW: Final = """
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if held then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_FREE: Final = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then return redis.call('DEL', key) end
end
return 0
"""


class Places(Struct, frozen=True):
    """The places of a name, of which one is to be held: so many keys.

    Attributes:
        keys: each is a place.
        counter: the key of the tokens.
    """

    keys: tuple[str, ...]
    counter: str


def value_of(host: str, place: int, token: int) -> str:
    """Return what a hold says of whose it is."""
    return f"{host}:{place}:{token}"


def take(
    client: Any,  # noqa: ANN401 - redis-py's
    places: Places,
    value: str,
    milliseconds: int,
    patience: int,
    has_known: bool,
) -> tuple[int, int] | None:
    """Hold a place, if one is free, or this host's; return which, and the token.

    Args:
        client: redis-py's.
        places: where.
        value: of the hold.
        milliseconds: how long it lasts.
        patience: milliseconds for which nobody gets anything new of a server that may have forgotten holds.
        has_known: whether this process has asked it before: so one that knows nothing has forgotten all.
    """
    prefix = value[: value.rindex(":") + 1]
    keys = [places.counter, f"{places.counter}:forgotten", f"{places.counter}:run", *places.keys]
    arguments = [prefix, value, milliseconds, patience, int(has_known), COMPARE_RUN]
    found: Sequence[Any] | None = client.eval(_TAKE, len(keys), *keys, *arguments)
    return None if found is None else (int(found[0]), int(found[1]))


def renew(client: Any, key: str, value: str, milliseconds: int) -> bool:  # noqa: ANN401 - redis-py's
    """Hold a place for longer; return whether it is held.

    Asked before its time is over, so that nobody else can have held it meanwhile, whatever the server has lost.

    Args:
        client: redis-py's.
        key: of the place.
        value: of the hold.
        milliseconds: from now.
    """
    return bool(client.eval(_RENEW, 1, key, value, milliseconds))


def free(client: Any, places: Sequence[str], value: str) -> bool:  # noqa: ANN401 - redis-py's
    """Hold it no longer; return whether it was held."""
    return bool(client.eval(_FREE, len(places), *places, value))
