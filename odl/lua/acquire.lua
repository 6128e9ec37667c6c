-- Take the version lock. Not safe to repeat: a second call finds the lock taken.
-- KEYS  1 lock (string 'token owner', expires)  2 fence (hash: token and owner of the newest grant)
-- ARGV  1 owner  2 time to live in ms
-- Returns the token; nil while somebody holds the lock.

assert(tonumber(ARGV[2]) >= 1, 'expected a time to live of at least 1 ms')
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local token = redis.call('HINCRBY', KEYS[2], 'token', 1)
redis.call('HSET', KEYS[2], 'owner', ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', token) .. ' ' .. ARGV[1], 'PX', ARGV[2])
return token
