-- A gateway answers by the routes as they were read at as_of; commands wait for those that answer by earlier ones.
-- KEYS readers of routes  ARGV gateway as_of_us seen_us  → 1 | 0 it was forgotten meanwhile, and has to read once more
-- Safe twice. Who was forgotten is not waited for, so it may answer by nothing that it read before it is known again.
allow_writes()
local gateway, as_of, seen = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', tonumber(now) - seen))
local known = redis.call('ZSCORE', KEYS[1], gateway)
local goes_on = known and tonumber(known) <= as_of
redis.call('ZADD', KEYS[1], goes_on and ARGV[2] or now, gateway)
redis.call('PEXPIRE', KEYS[1], math.ceil(seen / 1000))
return goes_on and 1 or 0
