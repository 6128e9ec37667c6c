-- Enter a control entry (odl.control) under the version lock, if the log is as its author saw it, but for
-- events that came since. Safe to repeat: a second call finds the id.
-- KEYS  1 head (hash)  2 log (stream)  3 fence (hash)  4, 5 seen:0, seen:1 (hashes, event id -> version)
-- ARGV  1 token  2 owner  3 payload  4 id  5, 6, 7 version, chain and log id of the head that its author saw
-- Returns the version; 'fenced' for an outdated lease; 'superseded' when a control entry came after that head
-- or the log's history is another one; nil without a log.

local call = redis.call
local head = call('HMGET', KEYS[1], 'version', 'chain', 'log_id', 'control', 'current')
if not head[1] then return false end
local version, chain, seen = head[1], head[2], {['0'] = KEYS[4], ['1'] = KEYS[5]}
local first = call('HGET', KEYS[4], ARGV[4]) or call('HGET', KEYS[5], ARGV[4])
if first then return first end
local grant = call('HMGET', KEYS[3], 'token', 'owner')
if grant[1] ~= ARGV[1] or grant[2] ~= ARGV[2] then return 'fenced' end
if head[3] ~= ARGV[7] or tonumber(head[4] or '0') > tonumber(ARGV[5]) then return 'superseded' end
if ARGV[5] == version then
  if chain ~= ARGV[6] then return 'superseded' end
elseif ARGV[5] ~= '0' then
  local entry = call('XRANGE', KEYS[2], ARGV[5] .. '-0', ARGV[5] .. '-0')[1]
  if not entry or entry[2][4] ~= ARGV[6] then return 'superseded' end
end

local at, next_chain = string.format('%.0f', tonumber(version) + 1), redis.sha1hex(chain .. ARGV[3])
call('XADD', KEYS[2], at .. '-0', 'p', ARGV[3], 'c', next_chain)
call('HSET', seen[head[5]], ARGV[4], at)
call('HSET', KEYS[1], 'version', at, 'chain', next_chain, 'control', at)
return at
