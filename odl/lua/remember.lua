-- Remember rows of predictions. Safe to repeat: the same id is overwritten.
-- KEYS  1 meta (hash: generation, ends_ms)  2.. slots (hashes, prediction id -> 'stored_ms record')
-- ARGV  1 records that a slot holds  2 milliseconds for which a slot takes records  3 time to live, ms
--       then of each row: prediction id · record
-- Returns how many slots were emptied to make room.
-- Slots are used in turn. The oldest one is emptied when the newest is full or has ended; a slot that nobody
-- empties expires by itself. With n slots of ttl / (n - 1) each, a record is kept for its time to live.

local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local meta = call('HMGET', KEYS[1], 'generation', 'ends_ms')
local generation, ends = tonumber(meta[1]) or 0, tonumber(meta[2]) or 0
local capacity, width, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local slots, stamp, emptied = #KEYS - 1, string.format('%.0f ', now), 0

for i = 4, #ARGV, 2 do -- bounded by the caller
  local slot = KEYS[2 + generation % slots]
  local is_new = now >= ends or call('HLEN', slot) >= capacity
  if is_new then
    generation, ends = generation + 1, now + width
    slot = KEYS[2 + generation % slots]
    emptied = emptied + call('UNLINK', slot)
    call('HSET', KEYS[1], 'generation', string.format('%.0f', generation), 'ends_ms', string.format('%.0f', ends))
  end
  call('HSET', slot, ARGV[i], stamp .. ARGV[i + 1])
  if is_new then call('PEXPIREAT', slot, string.format('%.0f', ends + ttl)) end
end
return emptied
