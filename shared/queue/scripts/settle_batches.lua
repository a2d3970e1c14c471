-- All items of these batches are recorded: their rows have everything, so their hashes get a TTL. A canceled batch stays
-- canceled here, because its cancellation may be the one thing that is not recorded yet.
-- ARGV ttl_ms, then ids…  → how many were there
-- Safe twice: it sets the TTL again.
allow_writes()
local there = 0
for i = 2, #ARGV do
  local batch = redis.call('HMGET', BATCH .. ARGV[i], 'owner', 'state')
  if batch[1] then
    if batch[2] ~= 'canceled' then redis.call('HSET', BATCH .. ARGV[i], 'state', 'ended') end
    redis.call('PEXPIRE', BATCH .. ARGV[i], ARGV[1])
    redis.call('ZREM', BATCHES .. batch[1], ARGV[i])
    there = there + 1
  end
  redis.call('ZREM', UPLOADS, ARGV[i])
end
return there
