-- Record another fold id, under the version lock. Safe to repeat.
-- KEYS  1 head (hash)  2 fence (hash)
-- ARGV  1 token  2 owner  3 fold id
-- Returns {version, chain, epoch, log id, fold id}; 'fenced' for an outdated lease; nil without a log.

if redis.call('HEXISTS', KEYS[1], 'version') == 0 then return false end
local grant = redis.call('HMGET', KEYS[2], 'token', 'owner')
if grant[1] ~= ARGV[1] or grant[2] ~= ARGV[2] then return 'fenced' end
redis.call('HSET', KEYS[1], 'fold_id', ARGV[3])
return redis.call('HMGET', KEYS[1], 'version', 'chain', 'epoch', 'log_id', 'fold_id')
