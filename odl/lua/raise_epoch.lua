-- Make the epoch at least a given one; it never falls. Safe to repeat.
-- KEYS  1 head (hash)
-- ARGV  1 epoch, an integer below 2^53
-- Returns {version, chain, epoch, log id, fold id or nil}; nil without a log.

local head = redis.call('HMGET', KEYS[1], 'version', 'chain', 'epoch', 'log_id', 'fold_id')
if not head[1] then return false end
if tonumber(ARGV[1]) > tonumber(head[3]) then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
  head[3] = ARGV[1]
end
return head
