-- Remove a snapshot, under the version lock. Safe to repeat.
-- KEYS  1 fence (hash)  2 snapshots (sorted set of JSON records, by order of commit)  3 its blob
-- ARGV  1 token  2 owner  3 its record
-- Returns 'gone'; 'fenced' for an outdated lease.

local grant = redis.call('HMGET', KEYS[1], 'token', 'owner')
if grant[1] ~= ARGV[1] or grant[2] ~= ARGV[2] then return 'fenced' end
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('UNLINK', KEYS[3])
return 'gone'
