-- Batches have ended and are recorded: their rows say everything, so their hashes may go after a while.
-- ARGV ttl_ms, then ids…  → how many were there
-- Safe twice: it sets the TTL anew.
allow_writes()
local there = 0
for i = 2, #ARGV do
  local owner = redis.call('HGET', BATCH .. ARGV[i], 'owner')
  if owner then
    redis.call('HSET', BATCH .. ARGV[i], 'state', 'ended')
    redis.call('PEXPIRE', BATCH .. ARGV[i], ARGV[1])
    redis.call('ZREM', BATCHES .. owner, ARGV[i])
    there = there + 1
  end
  redis.call('ZREM', UPLOADS, ARGV[i])
end
return there
