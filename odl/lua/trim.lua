-- Remove entries before a version, under the version lock. Safe to repeat.
-- KEYS  1 head (hash)  2 log (stream)  3 fence (hash)  4 snapshots (sorted set of JSON records)
-- ARGV  1 token  2 owner  3 first version to keep  4 fold id  5 how many entries to remove at most
-- Returns the number of removed entries; 'fenced' for an outdated lease; 'uncovered' unless two visible
-- snapshots of that fold and of this very history (log id and chain) are at or after it, and not before the
-- newest control entry; nil without a log.

local head = redis.call('HMGET', KEYS[1], 'log_id', 'control')
local log_id, first = head[1], tonumber(ARGV[3])
if not log_id then return false end
if head[2] then first = math.max(first, tonumber(head[2])) end
local grant = redis.call('HMGET', KEYS[3], 'token', 'owner')
if grant[1] ~= ARGV[1] or grant[2] ~= ARGV[2] then return 'fenced' end

local covering, versions = 0, {}
for _, record in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do -- a few of each fold are kept
  local snapshot = cjson.decode(record).snapshot
  local fits = snapshot.log_id == log_id and snapshot.fold_id == ARGV[4] and snapshot.version >= first
  if fits and not versions[snapshot.version] then
    local id = string.format('%.0f-0', snapshot.version)
    local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
    if entry and entry[2][4] == snapshot.chain then
      covering = covering + 1
      versions[snapshot.version] = true
    end
  end
end
if covering < 2 then return 'uncovered' end
return redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[3] .. '-0', 'LIMIT', ARGV[5])
