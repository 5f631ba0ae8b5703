"""Keep messages on a server until they have been dealt with: one stream of Redis, a consumer group for each name.

    publish ──▶ stream ──▶ each group: delivered to one consumer ──handled──▶ acknowledged ──by all groups──▶ trimmed
                                          ├──its consumer is silent, or its handler raised──▶ to another consumer, later
                                          └──too often──▶ the stream of dead messages

A message goes into the stream once, whatever its topic, so its order is that of all messages.  The stream holds no more
than :data:`MOST_WAITING`: beyond that publishing is refused, because whatever was dropped instead had been promised.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from .redis_engine import space_of

__all__ = ["MOST_DEAD", "MOST_WAITING", "Entry", "Streams"]

MOST_WAITING: Final = 100_000
"""Messages that wait for the slowest of those who subscribe."""

MOST_DEAD: Final = 10_000
"""Messages that nobody could deal with; beyond that the oldest is forgotten."""

_FORGOTTEN_SECONDS: Final = 7 * 24 * 3600
_IDLE_CONSUMER: Final = 3600 * 1000

_TRIM: Final = """
local function parts(id)
  local ms, seq = string.match(id, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(seq)
end
local function is_less(one, other)
  local a, b = parts(one)
  local c, d = parts(other)
  return a < c or (a == c and b < d)
end
local function groups_of(key)
  local found = {}
  if redis.call('EXISTS', key) == 0 then return found end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for at = 1, #flat, 2 do group[flat[at]] = flat[at + 1] end
    found[#found + 1] = group
  end
  return found
end
local function trim(key, seen, forgotten)
  local first = nil
  local now = tonumber(redis.call('TIME')[1])
  local count = 0
  for _, group in ipairs(groups_of(key)) do
    local last = tonumber(redis.call('HGET', seen, group.name) or now)
    if now - last > forgotten then
      redis.call('XGROUP', 'DESTROY', key, group.name)
      redis.call('HDEL', seen, group.name)
    else
      count = count + 1
      local needed
      if group.pending > 0 then
        needed = redis.call('XPENDING', key, group.name)[2]
      else
        local ms, seq = string.match(group['last-delivered-id'], '(%d+)-(%d+)')
        needed = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
      end
      if not first or is_less(needed, first) then first = needed end
    end
  end
  if first then redis.call('XTRIM', key, 'MINID', first) end
  return count
end
"""
_PUBLISH: Final = (
    _TRIM
    + """
local most = tonumber(ARGV[1])
if redis.call('XLEN', KEYS[1]) >= most then
  if trim(KEYS[1], KEYS[2], tonumber(ARGV[2])) == 0 then
    redis.call('XTRIM', KEYS[1], 'MAXLEN', most - 1)
  elseif redis.call('XLEN', KEYS[1]) >= most then
    return false
  end
end
return redis.call('XADD', KEYS[1], '*', 'topic', ARGV[3], 'body', ARGV[4])
"""
)
_JOIN: Final = (
    _TRIM
    + """
local groups = groups_of(KEYS[1])
for _, group in ipairs(groups) do
  if group.name == ARGV[1] then return 0 end
end
redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], #groups == 0 and '0' or '$', 'MKSTREAM')
redis.call('HSET', KEYS[2], ARGV[1], redis.call('TIME')[1])
return 1
"""
)
_BEAT: Final = (
    _TRIM
    + """
redis.call('HSET', KEYS[2], ARGV[2], redis.call('TIME')[1])
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[2])) do
  local one = {}
  for at = 1, #flat, 2 do one[flat[at]] = flat[at + 1] end
  if one.pending == 0 and one.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[2], one.name)
  end
end
return trim(KEYS[1], KEYS[2], tonumber(ARGV[1]))
"""
)
_CLAIM: Final = """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', 1)
if #found == 0 then return false end
local id = found[1][1]
local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], id)
if #claimed == 0 or not claimed[1] then
  redis.call('XACK', KEYS[1], ARGV[1], id)
  return false
end
return {id, claimed[1][2], found[1][4] + 1}
"""
_RENEW: Final = """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #found == 0 or found[1][2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1
"""
_LET_GO: Final = """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #found == 0 or found[1][2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'RETRYCOUNT', found[1][4] - 1, 'JUSTID')
return 1
"""
_BURY: Final = """
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'id', ARGV[2], 'name', ARGV[1],
  'topic', ARGV[4], 'body', ARGV[5], 'reason', ARGV[6])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""


class Entry(Struct, frozen=True):
    """A message of the stream, as it is delivered.

    Attributes:
        id: that Redis has given it.
        topic: of the message; ``None`` where it is none of this package's.
        body: the message, encoded.
        attempts: how often it has been delivered, this time included.
    """

    id: str
    topic: str | None
    body: bytes
    attempts: int


class Streams:
    """What is asked of the server, each in one step.

    Args:
        name: of the clusters that share it.
        most: how many messages may wait.
    """

    def __init__(self, name: str, most: int = MOST_WAITING) -> None:
        space = space_of(name)
        self.key = f"{space}durable"
        self.dead_key = f"{space}durable:dead"
        self._seen = f"{space}durable:seen"
        self._most = most

    # --- publishing ----------------------------------------------------------------------------

    def publish(self, client: Any, topic: str, body: bytes) -> bool:  # noqa: ANN401 - redis-py's
        """Put a message into the stream; return whether there was room for it."""
        keys = [self.key, self._seen]
        return client.eval(_PUBLISH, 2, *keys, self._most, _FORGOTTEN_SECONDS, topic, body) is not None

    # --- a group -------------------------------------------------------------------------------

    def join(self, client: Any, group: str) -> None:  # noqa: ANN401 - redis-py's
        """Let there be a group: the first one has all that waits, a further one what comes from now on."""
        client.eval(_JOIN, 2, self.key, self._seen, group)

    def beat(self, client: Any, group: str) -> None:  # noqa: ANN401 - redis-py's
        """Say that a group is wanted, and trim what all have dealt with; a group is forgotten after a week of silence.

        What is forgotten with it is what waited for it.
        """
        client.eval(_BEAT, 2, self.key, self._seen, _FORGOTTEN_SECONDS, group, _IDLE_CONSUMER)

    def read(self, client: Any, group: str, consumer: str, milliseconds: int) -> Entry | None:  # noqa: ANN401
        """Return a message that the group has not had, for this consumer; wait for one so long."""
        found = client.xreadgroup(group, consumer, {self.key: ">"}, count=1, block=milliseconds)
        rows = next(iter(found.values()))[0] if isinstance(found, dict) and found else found[0][1] if found else []
        return _entry(rows[0][0], rows[0][1], 1) if rows else None

    def claim(self, client: Any, group: str, consumer: str, milliseconds: int) -> Entry | None:  # noqa: ANN401
        """Take over the oldest message that nobody has acknowledged, or renewed, for so long."""
        found = client.eval(_CLAIM, 1, self.key, group, consumer, milliseconds)
        if not found:
            return None
        flat = found[1]
        return _entry(found[0], dict(zip(flat[::2], flat[1::2], strict=True)), int(found[2]))

    def renew(self, client: Any, group: str, consumer: str, entry: Entry) -> bool:  # noqa: ANN401 - redis-py's
        """Say that a handler is still at it; return whether it is this consumer's still."""
        return bool(client.eval(_RENEW, 1, self.key, group, consumer, entry.id))

    def let_go(self, client: Any, group: str, consumer: str, entry: Entry, milliseconds: int) -> bool:  # noqa: ANN401
        """Leave it to whoever claims what has waited so long, as if this consumer had never had it."""
        return bool(client.eval(_LET_GO, 1, self.key, group, consumer, entry.id, milliseconds))

    def acknowledge(self, client: Any, group: str, entry: Entry) -> None:  # noqa: ANN401 - redis-py's
        """It has been dealt with."""
        client.xack(self.key, group, entry.id)

    def bury(self, client: Any, group: str, entry: Entry, reason: str) -> None:  # noqa: ANN401 - redis-py's
        """Put it into the stream of dead messages, and deliver it no more."""
        keys = [self.key, self.dead_key]
        client.eval(_BURY, 2, *keys, group, entry.id, MOST_DEAD, entry.topic or "", entry.body, reason)


def _entry(number: bytes, fields: dict[bytes, bytes], attempts: int) -> Entry:
    topic = fields.get(b"topic")
    body = fields.get(b"body")
    if topic is None or body is None:
        return Entry(number.decode(), None, b"", attempts)
    return Entry(number.decode(), topic.decode("utf-8", "replace"), body, attempts)
