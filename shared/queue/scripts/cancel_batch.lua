-- Cancel a batch: it accepts no more items; cancel_lane then ends those that wait. Until that is done the batch stays in
-- `uploads`, so that a sweep finishes the cancellation if its gateway dies.
-- Modes: user, its owner wants it. broken, its upload broke off: its idempotency key is freed, and a batch without items
-- is deleted. silent, like broken, but only if the last sign of life is older than the lease; it is marked as given up.
-- KEYS batch  ARGV id mode(user|broken|silent) lease_us record_task  → missing | alive | ended | removed | canceled
-- Safe twice: the second time it is canceled or gone.
local id, mode = ARGV[1], ARGV[2]
local batch = redis.call('HMGET', KEYS[1], 'state', 'total', 'owner', 'idempotency')
allow_writes()
if mode == 'silent' then
  local seen = redis.call('ZSCORE', UPLOADS, id)
  if not seen or tonumber(now) - tonumber(seen) < tonumber(ARGV[3]) then return 'alive' end
end
if not batch[1] then
  redis.call('ZREM', UPLOADS, id)
  return 'missing'
end
if batch[1] == 'ended' then return 'ended' end
if batch[1] == 'canceled' then return 'canceled' end
if mode ~= 'user' then
  if batch[1] ~= 'validating' then return 'ended' end
  if batch[4] ~= '' then
    redis.call('DEL', batch[4])
    redis.call('ZREM', IDEMPOTENCY_KEYS, batch[4])
  end
  if batch[2] == '0' then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', UPLOADS, id)
    redis.call('ZREM', BATCHES .. batch[3], id)
    return 'removed'
  end
end
redis.call('HSET', KEYS[1], 'state', 'canceled')
if mode == 'silent' then redis.call('HSET', KEYS[1], 'given_up', '1') end
redis.call('ZADD', UPLOADS, now, id)
record_batch(id, KEYS[1], ARGV[4])
return 'canceled'
