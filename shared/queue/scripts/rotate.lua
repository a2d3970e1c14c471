-- The bulk lane whose turn it is; empty ones leave the rotation and take their consumer group with them.
-- KEYS rotation  → lane | nil
-- Safe twice: it gives the next lane its turn early.
for _ = 1, redis.call('LLEN', KEYS[1]) do
  local lane = redis.call('LMOVE', KEYS[1], KEYS[1], 'LEFT', 'RIGHT')
  if redis.call('EXISTS', lane) == 1 and redis.call('XLEN', lane) > 0 then return lane end
  redis.call('LREM', KEYS[1], 0, lane)
  redis.call('DEL', lane)
end
return nil
