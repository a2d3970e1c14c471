-- Remove consumers that have nothing pending and have been idle for idle_ms. Removing a consumer drops its pending
-- entries, so it is done only here, in one step with that check.
-- KEYS stream  ARGV group idle_ms  → how many were removed
-- Safe twice: a consumer that comes back is created again by its next read.
local gone = 0
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #flat, 2 do consumer[flat[i]] = flat[i + 1] end
  if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    gone = gone + 1
  end
end
return gone
