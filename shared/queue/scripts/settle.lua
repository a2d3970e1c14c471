-- Records are committed: their jobs get a TTL, then their entries leave the finished stream. In this order, because after
-- a crash in between, a job whose entry is gone would stay in memory for ever.
-- KEYS finished  ARGV group ttl_ms, then ids…, then their entries…  → entries that were still there
-- Safe twice: it sets the TTL again.
allow_writes()
local records = (#ARGV - 2) / 2
for i = 3, 2 + records do redis.call('PEXPIRE', JOB .. ARGV[i], ARGV[2]) end
local entries = {unpack(ARGV, 3 + records)}
redis.call('XACK', KEYS[1], ARGV[1], unpack(entries))
return redis.call('XDEL', KEYS[1], unpack(entries))
