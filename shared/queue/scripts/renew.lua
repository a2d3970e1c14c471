-- Renew the leases of entries that are still this consumer's: XCLAIM of any other would take it from its new owner.
-- ARGV consumer, then (lane entry)…  → how many were still its own
-- Safe twice: it only resets idle times.
local kept = 0
for i = 2, #ARGV, 2 do
  local lane, entry = ARGV[i], ARGV[i + 1]
  local pending = redis.call('EXISTS', lane) == 1 and redis.call('XPENDING', lane, WORKERS, entry, entry, 1)[1]
  if pending and pending[2] == ARGV[1] then
    redis.call('XCLAIM', lane, WORKERS, ARGV[1], 0, entry, 'JUSTID')
    kept = kept + 1
  end
end
return kept
