-- Record the fold id of the log, if none is recorded. Safe to repeat, safe to race: the first one wins.
-- KEYS  1 head (hash)
-- ARGV  1 fold id
-- Returns {version, chain, epoch, log id, fold id}; nil without a log.

if redis.call('HEXISTS', KEYS[1], 'version') == 0 then return false end
if (redis.call('HGET', KEYS[1], 'fold_id') or '') == '' then redis.call('HSET', KEYS[1], 'fold_id', ARGV[1]) end
return redis.call('HMGET', KEYS[1], 'version', 'chain', 'epoch', 'log_id', 'fold_id')
