-- Records are committed: their jobs may be forgotten after a while, then their entries leave the finished stream.
-- In this order, or a job whose entry is gone would keep its memory for ever.
-- KEYS finished  ARGV group ttl_ms, then ids…, then their entries…  → entries that were still there
-- Safe twice: it sets the TTL anew, and what is gone stays gone.
allow_writes()
local many = (#ARGV - 2) / 2
for i = 3, 2 + many do redis.call('PEXPIRE', JOB .. ARGV[i], ARGV[2]) end
local entries = {unpack(ARGV, 3 + many)}
redis.call('XACK', KEYS[1], ARGV[1], unpack(entries))
return redis.call('XDEL', KEYS[1], unpack(entries))
