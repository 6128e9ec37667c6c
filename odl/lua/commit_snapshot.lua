-- Make a verified snapshot visible and drop old ones, under the version lock. Safe to repeat.
-- KEYS  1 fence (hash)  2 snapshots (sorted set of JSON records, by order of commit)  3 the new blob
--       4 … blobs of the records to drop
-- ARGV  1 token  2 owner  3 the new record  4 … the records to drop, one a blob
-- Returns 'visible'; 'fenced' for an outdated lease; 'missing' when the blob expired before it was committed.

if redis.call('ZSCORE', KEYS[2], ARGV[3]) then return 'visible' end -- the first reply was lost
local grant = redis.call('HMGET', KEYS[1], 'token', 'owner')
if grant[1] ~= ARGV[1] or grant[2] ~= ARGV[2] then return 'fenced' end
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
if redis.call('EXISTS', KEYS[3]) == 0 then return 'missing' end

redis.call('PERSIST', KEYS[3])
redis.call('ZADD', KEYS[2], (tonumber(last[2]) or 0) + 1, ARGV[3])
for i = 4, #KEYS do -- bounded by the caller
  redis.call('ZREM', KEYS[2], ARGV[i])
  redis.call('UNLINK', KEYS[i])
end
return 'visible'
