-- Let a worker load a version, or go on doing so: at most half of the workers that serve the model load at once, or one.
-- KEYS turns workers  ARGV worker lease_us seen_us → 1 it may, for lease_us from now | 0 others do
-- Safe twice: the second time it renews. The turn of a worker that was killed ends with its lease.
allow_writes()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local live = redis.call('ZCOUNT', KEYS[2], string.format('%.0f', now - ARGV[3]), '+inf')
local room = math.max(1, math.floor(live / 2))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= room then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
return 1
