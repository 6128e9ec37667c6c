-- Extend a lease that has not ended. Safe to repeat.
-- KEYS  1 lock (string 'token owner', expires)
-- ARGV  1 'token owner'  2 time to live in ms from now
-- Returns 1; 0 when the lease has ended.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
