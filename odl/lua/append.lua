-- Enter events in order, each together with the position of its source (odl.log.Append). Safe to repeat: a
-- second call with the same arguments finds the positions or the ids and answers 'duplicate'.
-- KEYS  1 head (hash)  2 log (stream)  3 sources (hash)  4, 5 seen:0, seen:1 (hashes, event id -> version)
-- ARGV  1 how many ids a generation holds, then six of each event:
--       payload, '' moves the position only · event id · source · seq, '' if the source has no positions
--       · prev, '' if the sender believes that nothing was stored · after, a version seen before sending, or 0
-- Returns a line an event, 'accepted|duplicate|gap|expired|full version position', '-' for none; nil without a
-- log. 'full': beyond the limit; nothing changed.
-- A failed script keeps its writes. So whatever can fail comes before the first write of an event, which is
-- XADD, and an event is complete before the next one begins.

local call = redis.call
local head = call('HMGET', KEYS[1], 'version', 'chain', 'current', 'ids_from', 'horizon', 'limit')
if not head[1] then return false end
local version, chain, current, ids_from = tonumber(head[1]), head[2], head[3], head[4]
local horizon, limit = tonumber(head[5]) or 1, tonumber(head[6]) or math.huge
local seen, other = {['0'] = KEYS[4], ['1'] = KEYS[5]}, {['0'] = '1', ['1'] = '0'}
-- What only this script changes while it runs is asked for once.
local ids, positions = nil, {} -- how many ids the current generation holds; source -> its position or false

local function is_after(a, b) -- of decimal strings: Lua's numbers are doubles and end at 2^53
  if #a ~= #b then return #a > #b end
  return a > b
end

local function answer(outcome, at, stored)
  return outcome .. ' ' .. (at or '-') .. ' ' .. (stored or '-')
end

local function find(id)
  return call('HGET', seen[current], id) or call('HGET', seen[other[current]], id)
end

local function enter(payload, id)
  ids = ids or call('HLEN', seen[current])
  local is_full = ids >= tonumber(ARGV[1])
  local at, next_chain = string.format('%.0f', version + 1), redis.sha1hex(chain .. payload)
  call('XADD', KEYS[2], at .. '-0', 'p', payload, 'c', next_chain)
  if is_full then
    -- The older generation makes room and becomes the current one; what was current stays known.
    call('UNLINK', seen[other[current]])
    call('HSET', KEYS[1], 'current', other[current], 'horizon', ids_from, 'ids_from', at)
    horizon, current, ids_from, ids = tonumber(ids_from), other[current], at, 0
  end
  call('HSET', seen[current], id, at)
  ids = ids + 1
  call('HSET', KEYS[1], 'version', at, 'chain', next_chain)
  version, chain = version + 1, next_chain
  return at
end

local function position(source)
  if positions[source] == nil then positions[source] = call('HGET', KEYS[3], source) end
  return positions[source]
end

local function append(payload, id, source, seq, prev, after)
  local stored, before = nil, nil
  if seq ~= '' then
    stored = position(source)
    if stored and not is_after(seq, stored) then
      if payload == '' then return answer('duplicate', nil, stored) end
      local first = find(id)
      call('HINCRBY', KEYS[1], 'duplicates', 1)
      return answer('duplicate', first, stored)
    end
    if (stored or '') ~= prev then return answer('gap', nil, stored) end
    stored, before = seq, stored
  end
  local outcome, at = 'accepted', nil
  if payload == '' then
    call('HINCRBY', KEYS[1], 'skipped', 1)
  else
    at = find(id)
    if at then
      outcome = 'duplicate'
      call('HINCRBY', KEYS[1], 'duplicates', 1)
    else
      if after > 0 and after + 1 < horizon then return answer('expired', nil, before) end
      if version >= limit then return answer('full', nil, before) end
      at = enter(payload, id)
    end
  end
  if stored then
    call('HSET', KEYS[3], source, stored)
    positions[source] = stored
  end
  return answer(outcome, at, stored)
end

local lines = {}
for i = 2, #ARGV, 6 do -- bounded by the caller
  lines[#lines + 1] = append(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4],
    tonumber(ARGV[i + 5]))
end
return table.concat(lines, '\n')
