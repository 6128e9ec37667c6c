-- The head and entries in stream order, in one atomic step.
-- KEYS  1 head (hash)  2 log (stream)
-- ARGV  1 version to start at, inclusive  2 how many entries at most, at least 1
-- Returns one string, since parsing many replies costs the client more than all the rest; nil without a log:
--   'version chain epoch log_id n', n lines 'stream id, payload bytes, chain', and the n payloads unseparated.

local head = redis.call('HMGET', KEYS[1], 'version', 'chain', 'epoch', 'log_id')
if not head[1] then return false end
local entries = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
head[5] = #entries
local lines, payloads = {table.concat(head, ' ')}, {}
for i, entry in ipairs(entries) do -- bounded by COUNT
  local payload = entry[2][2]
  lines[i + 1] = entry[1] .. ' ' .. #payload .. ' ' .. entry[2][4]
  payloads[i] = payload
end
return table.concat(lines, '\n') .. '\n' .. table.concat(payloads)
