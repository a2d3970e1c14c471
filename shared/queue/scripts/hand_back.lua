-- Entries that this worker can't compute and others can: their leases end now, so that another worker takes each over
-- (reclaim). That is no attempt of theirs: the count of deliveries is what it was before this worker got them.
-- ARGV consumer lease_ms, then (lane entry attempts)…  → how many were still its own
-- Safe twice: attempts is what the worker was told, so that the second call sets the same.
local handed = 0
for i = 3, #ARGV, 3 do
  local lane, entry, attempts = unpack(ARGV, i, i + 2)
  local pending = redis.call('EXISTS', lane) == 1 and redis.call('XPENDING', lane, WORKERS, entry, entry, 1)[1]
  if pending and pending[2] == ARGV[1] then
    redis.call('XCLAIM', lane, WORKERS, ARGV[1], 0, entry, 'IDLE', ARGV[2], 'RETRYCOUNT', attempts - 1, 'JUSTID')
    handed = handed + 1
  end
end
return handed
