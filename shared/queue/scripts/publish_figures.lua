-- Publish what a process says about itself, and take the turn to keep a sample where nobody has in this slot of time.
-- KEYS figures of the process, index of processes, slot  ARGV process, figures (JSON), ttl (ms), slot's length (ms) or 0
-- → the slot's beginning (ms since 1970) where a sample is to be kept, else 0
-- Safe twice: the later figures count, and a slot is given once.
local ttl, length = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ttl)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', tonumber(now) - ttl * 1000))
redis.call('PEXPIRE', KEYS[2], ttl)
if length == 0 then return 0 end
local slot = math.floor(tonumber(now) / 1000 / length) * length
if redis.call('GET', KEYS[3]) == tostring(slot) then return 0 end
redis.call('SET', KEYS[3], tostring(slot), 'PX', length * 2)
return slot
