-- Give the version lock back. Safe to repeat.
-- KEYS  1 lock (string 'token owner', expires)
-- ARGV  1 'token owner'
-- Returns 1; 0 when the lease had ended already.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
