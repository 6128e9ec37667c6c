-- Create the log if there is none. Safe to repeat, safe to race: the first one wins.
-- KEYS  1 head (hash)  2 log (stream)  3 sources (hash)  4, 5 seen:0, seen:1 (hashes)
-- ARGV  1 log id for a new log  2 chain of version 0
-- Returns {version, chain, epoch, log id, fold id or nil}; nil when parts of a log exist without their head.

if redis.call('HEXISTS', KEYS[1], 'version') == 0 then
  if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4], KEYS[5]) > 0 then return false end
  redis.call('HSET', KEYS[1], 'version', '0', 'chain', ARGV[2], 'epoch', '1', 'log_id', ARGV[1],
    'current', '0', 'ids_from', '1', 'horizon', '1', 'duplicates', '0', 'skipped', '0')
end
return redis.call('HMGET', KEYS[1], 'version', 'chain', 'epoch', 'log_id', 'fold_id')
