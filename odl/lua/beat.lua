-- Record that a replica is alive and forget those that are not. Safe to repeat.
-- KEYS  1 replicas (hash, id -> 'ends_ms record')
-- ARGV  1 id  2 record  3 time to live in ms  4 how many replicas at most
-- Returns 1; 0 when that many others are alive.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HGETALL', KEYS[1])
local alive = 0
for i = 1, #found, 2 do -- bounded by ARGV[4]
  if found[i] ~= ARGV[1] then
    if tonumber(string.match(found[i + 1], '^%d+')) > now_ms then
      alive = alive + 1
    else
      redis.call('HDEL', KEYS[1], found[i])
    end
  end
end
if alive >= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now_ms + tonumber(ARGV[3])) .. ARGV[2])
return 1
