-- Make a verified snapshot visible and drop old ones, under the version lock. Safe to repeat.
-- KEYS  1 fence (hash)  2 head (hash)  3 log (stream)  4 snapshots (sorted set of JSON records, by order of
--       commit)  5 the new blob  6 … blobs of the records to drop
-- ARGV  1 token  2 owner  3 the new record  4 … the records to drop, one a blob
-- Returns 'visible'; 'fenced' for an outdated lease; 'missing' when the blob expired before it was committed;
-- 'elsewhere' unless the log holds the snapshot's version with its chain, and no control entry after it.
-- Trimming and those who follow a control entry rely on the newest ones: one from before the log's beginning,
-- of a lost branch, or from before a control entry must not push them out.

if redis.call('ZSCORE', KEYS[4], ARGV[3]) then return 'visible' end -- the first reply was lost
local grant = redis.call('HMGET', KEYS[1], 'token', 'owner')
if grant[1] ~= ARGV[1] or grant[2] ~= ARGV[2] then return 'fenced' end

local snapshot = cjson.decode(ARGV[3]).snapshot
local head = redis.call('HMGET', KEYS[2], 'version', 'chain', 'log_id', 'control')
if head[1] then -- without a log nothing relies on snapshots
  local here = tonumber(head[1]) == snapshot.version and head[2] == snapshot.chain
  if not here then
    local id = string.format('%.0f-0', snapshot.version)
    local entry = snapshot.version > 0 and redis.call('XRANGE', KEYS[3], id, id)[1]
    here = entry and entry[2][4] == snapshot.chain
  end
  local is_outdated = snapshot.version < tonumber(head[4] or '0')
  if not here or head[3] ~= snapshot.log_id or is_outdated then return 'elsewhere' end
end
local last = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
if redis.call('EXISTS', KEYS[5]) == 0 then return 'missing' end

redis.call('PERSIST', KEYS[5])
redis.call('ZADD', KEYS[4], (tonumber(last[2]) or 0) + 1, ARGV[3])
for i = 6, #KEYS do -- bounded by the caller
  redis.call('ZREM', KEYS[4], ARGV[i - 2])
  redis.call('UNLINK', KEYS[i])
end
return 'visible'
