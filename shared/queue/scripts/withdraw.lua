-- Take a name out of service that no worker has served for patience_us; not where one has published it meanwhile.
-- KEYS models leaving workers unserved  ARGV model patience_us seen_us  → 1 withdrawn | 0 a worker serves it
-- Safe twice.
allow_writes()
local newest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
local since = redis.call('GET', KEYS[4])
if newest and tonumber(now) - tonumber(newest) < tonumber(ARGV[3]) then return 0 end
if not since or tonumber(now) - tonumber(since) < tonumber(ARGV[2]) then return 0 end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
return 1
