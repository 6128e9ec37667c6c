-- The head and entries in stream order, in one atomic step.
-- KEYS  1 head (hash)  2 log (stream)
-- ARGV  1 version to start at, inclusive  2 how many entries at most, at least 1
-- Returns one string, since parsing many replies costs the client more than all the rest; nil without a log:
--   'version chain epoch log_id fold_id', 'n', n lines 'stream_id payload_bytes chain', the n payloads unseparated.

local head = redis.call('HMGET', KEYS[1], 'version', 'chain', 'epoch', 'log_id', 'fold_id')
if not head[1] then return false end
head[5] = head[5] or ''
local first = table.concat(head, ' ')
-- Most predictions come from a reader at the head. Its chain is the head's; looking its entry up would cost
-- as much as the rest of this script.
if head[1] == ARGV[1] then return first .. '\n0\n' end
local entries = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
local lines, payloads = {first, #entries}, {}
for i, entry in ipairs(entries) do -- bounded by COUNT
  local payload, entry_chain = entry[2][2], entry[2][4]
  lines[i + 2] = entry[1] .. ' ' .. #payload .. ' ' .. entry_chain
  payloads[i] = payload
end
lines[#lines + 1] = table.concat(payloads)
return table.concat(lines, '\n')
