-- Enter one event, together with the position of its source (odl.log.Append). Safe to repeat: a second
-- call with the same arguments finds the position or the id and answers 'duplicate'.
-- KEYS  1 head (hash)  2 log (stream)  3 sources (hash)  4, 5 seen:0, seen:1 (hashes, event id -> version)
-- ARGV  1 payload, '' moves the position only  2 event id  3 source  4 seq, '' if it has none
--       5 prev, '' if the sender believes that nothing was stored  6 how many ids a generation holds
-- Returns {'accepted' | 'duplicate' | 'gap', version or nil, stored position or nil}; nil without a log.
-- Everything that can fail comes before the first write, which is XADD: a failed script keeps its writes.

local payload, id, source, seq, prev = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local function is_after(a, b) -- of decimal strings: Lua's numbers are doubles and end at 2^53
  if #a ~= #b then return #a > #b end
  return a > b
end

local function find(seen)
  return redis.call('HGET', seen, id)
end

local head = redis.call('HMGET', KEYS[1], 'version', 'chain', 'current', 'ids_from')
if not head[1] then return false end
local current, older = KEYS[4], KEYS[5]
if head[3] == '1' then current, older = older, current end

local stored = false
if seq ~= '' then
  stored = redis.call('HGET', KEYS[3], source)
  if stored and not is_after(seq, stored) then
    if payload == '' then return {'duplicate', false, stored} end
    local first = find(current) or find(older)
    redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
    return {'duplicate', first, stored}
  end
  if (stored or '') ~= prev then return {'gap', false, stored} end
end

if payload == '' then
  redis.call('HSET', KEYS[3], source, seq)
  redis.call('HINCRBY', KEYS[1], 'skipped', 1)
  return {'accepted', false, seq}
end

local first = find(current) or find(older)
if first then
  if seq ~= '' then
    redis.call('HSET', KEYS[3], source, seq)
    stored = seq
  end
  redis.call('HINCRBY', KEYS[1], 'duplicates', 1)
  return {'duplicate', first, stored}
end

local version = string.format('%.0f', tonumber(head[1]) + 1)
local chain = redis.sha1hex(head[2] .. payload)
local is_full = redis.call('HLEN', current) >= tonumber(ARGV[6])
redis.call('XADD', KEYS[2], version .. '-0', 'p', payload, 'c', chain)
if is_full then
  -- The older generation makes room and becomes the current one; what was current stays known.
  redis.call('UNLINK', older)
  redis.call('HSET', KEYS[1], 'current', head[3] == '1' and '0' or '1', 'horizon', head[4], 'ids_from', version)
  current = older
end
redis.call('HSET', current, id, version)
redis.call('HSET', KEYS[1], 'version', version, 'chain', chain)
if seq ~= '' then
  redis.call('HSET', KEYS[3], source, seq)
  stored = seq
end
return {'accepted', version, stored}
