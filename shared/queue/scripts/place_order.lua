-- Place an order to change what serves, which has to be begun within its patience, and wake a worker.
-- KEYS workers order open bell  ARGV id text patience_us kept_s bell_s → 1 placed | 0 no worker runs: nothing is written
-- Safe twice: it is the same order.
local expires = string.format('%.0f', now + ARGV[3])
-- The first write is refused where memory is short; workers' signs are evicted then, and would seem to be away.
redis.call('HSET', KEYS[2], 'order', ARGV[2], 'expires', expires)
redis.call('EXPIRE', KEYS[2], ARGV[4])
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
  return 0
end
redis.call('ZADD', KEYS[3], expires, ARGV[1])
redis.call('RPUSH', KEYS[4], ARGV[1])
redis.call('EXPIRE', KEYS[4], ARGV[5])
return 1
