-- Publish what serves under a name, unless the name is retired. A worker serves it from now on: it is not unserved.
-- KEYS route models retired leaving unserved  ARGV model route, then, where it may replace one route alone: that one's SHA-1, '' for none
-- → 1 published | 0 retired | -1 another route was published meanwhile; nothing is written but with 1
-- Safe twice: it writes the same again.
if redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 then return 0 end
if ARGV[3] then
  local published = redis.call('GET', KEYS[1])
  if published ~= ARGV[2] and (published and redis.sha1hex(published) or '') ~= ARGV[3] then return -1 end
end
allow_writes()
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('DEL', KEYS[5])
return 1
