-- Take no entries after a version, until the next call. Safe to repeat.
-- KEYS  1 head (hash)
-- ARGV  1 version, an integer below 2^53  2 why, for those who are refused
-- Returns 1; nil without a log.

if redis.call('HEXISTS', KEYS[1], 'version') == 0 then return false end
redis.call('HSET', KEYS[1], 'limit', ARGV[1], 'limit_why', ARGV[2])
return 1
