-- A sign of life, by Redis' clock: machines' own may differ by more than a worker may be silent.
-- KEYS signs  ARGV who
-- Safe twice: it is later then.
allow_writes()
redis.call('ZADD', KEYS[1], now, ARGV[1])
return 1
