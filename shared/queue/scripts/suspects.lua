-- Whether any entry of these lanes is pending with a worker that did not renew its lease.
-- KEYS lanes  ARGV idle_ms  → 1 | 0
-- Reads only.
for _, lane in ipairs(KEYS) do
  if redis.call('EXISTS', lane) == 1 and redis.call('XPENDING', lane, WORKERS, 'IDLE', ARGV[1], '-', '+', 1)[1] then
    return 1
  end
end
return 0
