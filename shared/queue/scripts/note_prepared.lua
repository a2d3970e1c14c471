-- A worker has loaded a version that is about to serve, or failed to.
-- KEYS prepared workers  ARGV worker seen_us keep_ms → how many workers that serve the model have done neither
-- Safe twice: it is a set. A worker that was killed is not waited for once it has given no sign of life for seen_us.
allow_writes()
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local missing = 0
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.0f', now - ARGV[2]), '+inf')) do
  missing = missing + 1 - redis.call('SISMEMBER', KEYS[1], worker)
end
return missing
