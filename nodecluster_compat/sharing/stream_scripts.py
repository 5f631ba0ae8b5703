"""Define the Lua scripts of durable messages; Redis runs each as one step.

How much a stream has is known without a look at all of it.  Each message says how many bytes were published before it
(``before``), a hash how many were published in all; so the oldest message that is there says how many are.

    sizes = total, floor: the bytes that were published, and those before the oldest message, when last looked at
"""

from __future__ import annotations

from typing import Final

__all__ = ["BEAT", "BURY", "CLAIM", "JOIN", "LET_GO", "PUBLISH", "RENEW"]

_SIZES: Final = """
local function number_of(sizes, name)
  return tonumber(redis.call('HGET', sizes, name) or 0)
end
local function settle(key, sizes)
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  local floor = number_of(sizes, 'total')
  if first then
    floor = number_of(sizes, 'floor')
    for at = 1, #first[2], 2 do
      if first[2][at] == 'before' then floor = tonumber(first[2][at + 1]) or floor end
    end
  end
  redis.call('HSET', sizes, 'floor', string.format('%.0f', floor))
end
local function bytes_in(sizes)
  return number_of(sizes, 'total') - number_of(sizes, 'floor')
end
local function counted(sizes, size)
  return string.format('%.0f', redis.call('HINCRBY', sizes, 'total', size) - size)
end
"""
_TRIM: Final = (
    _SIZES
    + """
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
local function trim(key, seen, sizes, forgotten)
  local first, slowest = nil, ''
  local now = tonumber(redis.call('TIME')[1])
  for _, group in ipairs(groups_of(key)) do
    local last = tonumber(redis.call('HGET', seen, group.name) or now)
    if now - last > forgotten then
      redis.call('XGROUP', 'DESTROY', key, group.name)
      redis.call('HDEL', seen, group.name)
    else
      local needed
      if group.pending > 0 then
        needed = redis.call('XPENDING', key, group.name)[2]
      else
        local ms, seq = string.match(group['last-delivered-id'], '(%d+)-(%d+)')
        needed = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
      end
      if not first or is_less(needed, first) then first, slowest = needed, group.name end
    end
  end
  if first then redis.call('XTRIM', key, 'MINID', first) end
  settle(key, sizes)
  return slowest
end
"""
)
PUBLISH: Final = (
    _TRIM
    + """
local most, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local size = #ARGV[4] + #ARGV[5] + tonumber(ARGV[6])
local function is_full()
  return redis.call('XLEN', KEYS[1]) >= most or bytes_in(KEYS[3]) + size > most_bytes
end
if is_full() then
  local slowest = trim(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[3]))
  if is_full() then return {redis.call('XLEN', KEYS[1]), bytes_in(KEYS[3]), slowest} end
end
redis.call('XADD', KEYS[1], '*', 'topic', ARGV[4], 'body', ARGV[5], 'before', counted(KEYS[3], size))
return false
"""
)
JOIN: Final = (
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
BEAT: Final = (
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
trim(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]))
return 1
"""
)
CLAIM: Final = """
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
RENEW: Final = """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #found == 0 or found[1][2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1
"""
LET_GO: Final = """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #found == 0 or found[1][2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'RETRYCOUNT', found[1][4] - 1, 'JUSTID')
return 1
"""
BURY: Final = (
    _SIZES
    + """
local size = #ARGV[4] + #ARGV[5] + #ARGV[6] + tonumber(ARGV[8])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'id', ARGV[2], 'name', ARGV[1],
  'topic', ARGV[4], 'body', ARGV[5], 'reason', ARGV[6], 'before', counted(KEYS[3], size))
settle(KEYS[2], KEYS[3])
while bytes_in(KEYS[3]) > tonumber(ARGV[7]) and redis.call('XLEN', KEYS[2]) > 1 do
  redis.call('XTRIM', KEYS[2], 'MAXLEN', redis.call('XLEN', KEYS[2]) - 1)
  settle(KEYS[2], KEYS[3])
end
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""
)
