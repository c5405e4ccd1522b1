"""The server-side steps. Each is one command, so a worker that dies between two of them changes nothing.

A message is in its queue, or in its stage (see `channel`), or in `unacked` and its lease in `unacked_index`. Scripts
use the server's clock. They may run when Redis is over its memory limit: taking, acknowledging and giving back make
room. Sent as EVAL, text and all: after a restart or failover of Redis nothing has to be loaded again.
"""

_NOW = "local t = redis.call('TIME'); local now = t[1] + t[2] / 1e6\n"

# KEYS unacked, index, key...; ARGV tag, seconds the score is back-dated, then for each key the JSON text of its queue's
# name, or '' where messages need no acknowledgement. Returns {number of the key, raw message}, or nothing.
# The entry is stock's [message, exchange, routing key]: with the default exchange any stock worker can give it back to
# this very queue. The message's text is concatenated, not decoded: cjson would not write the same text again.
TAKE = (
    "#!lua flags=allow-oom\n"
    + _NOW
    + """
for i = 3, #KEYS do
  local raw = redis.call('RPOP', KEYS[i])
  if raw then
    if ARGV[i] ~= '' then
      redis.call('HSET', KEYS[1], ARGV[1], '[' .. raw .. ', "", ' .. ARGV[i] .. ']')
      redis.call('ZADD', KEYS[2], now - ARGV[2], ARGV[1])
    end
    return {i - 2, raw}
  end
end
return false
"""
)

# KEYS unacked, index, list...; ARGV a message for each list, tags. Publishes the messages, acknowledges the tags.
ACK = """#!lua flags=allow-oom
local posts = #KEYS - 2
for i = 1, posts do redis.call('LPUSH', KEYS[i + 2], ARGV[i]) end
if #ARGV > posts then
  redis.call('ZREM', KEYS[2], unpack(ARGV, posts + 1))
  redis.call('HDEL', KEYS[1], unpack(ARGV, posts + 1))
end
"""

# KEYS index; ARGV seconds to back-date, tags. Only what is still there: a tag that was acknowledged stays gone.
RENEW = (
    "#!lua flags=allow-oom\n"
    + _NOW
    + """
local renewed = 0
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], now - ARGV[1], ARGV[i])
    renewed = renewed + 1
  end
end
return renewed
"""
)

# KEYS index, clock; ARGV visibility timeout, lease, at most how many. Returns tags whose time is over. After nobody
# looked for a lease (an outage), leases ran out that nobody could renew: their holders get one more lease first.
SWEEP = (
    "#!lua flags=allow-oom\n"
    + _NOW
    + """
local last = tonumber(redis.call('HGET', KEYS[2], 'last') or 0)
local hold = tonumber(redis.call('HGET', KEYS[2], 'hold') or 0)
if now - last > tonumber(ARGV[2]) then hold = now + ARGV[2] end
redis.call('HSET', KEYS[2], 'last', tostring(now), 'hold', tostring(hold))
if now < hold then return {} end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[3])
"""
)

# KEYS unacked, index, destination; ARGV tag, visibility timeout or '' (move even if its time is not over), L or R,
# text. Returns 1 if moved, 0 if somebody else has dealt with it.
MOVE = (
    "#!lua flags=allow-oom\n"
    + _NOW
    + """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
end
if ARGV[2] ~= '' then
  local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if score and tonumber(score) > now - ARGV[2] then return 0 end
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call(ARGV[3] == 'L' and 'LPUSH' or 'RPUSH', KEYS[3], ARGV[4])
return 1
"""
)

# KEYS hash, destination; ARGV field, value it must have, value it gets, text or ''. Returns 1 if it had that value.
# Without leave to exceed the memory limit: what is refused is not noted either.
PUT_ONCE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[4] ~= '' then redis.call('LPUSH', KEYS[2], ARGV[4]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
