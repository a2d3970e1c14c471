-- Publish what serves under a name, unless the name is retired.
-- KEYS route models retired leaving  ARGV model route  → 1 published | 0 retired (nothing written)
-- Safe twice: it writes the same again.
if redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 then return 0 end
allow_writes()
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return 1
