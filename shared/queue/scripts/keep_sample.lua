-- Keep one sample of the status, and since when alerts have held.
-- KEYS samples, alerts  ARGV the sample's id in the stream, sample (JSON), alerts (JSON), their ttl (ms), most samples
-- → 1 where it was kept, 0 where this slot has one
-- Safe twice: an id is used once.
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[5], ARGV[1], 'sample', ARGV[2])
return added.err and 0 or 1
