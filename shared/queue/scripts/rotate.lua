-- The bulk lane whose turn it is, of those with entries that nobody has in hand; empty ones leave the rotation and take
-- their consumer group with them.
-- KEYS rotation  ARGV, where lanes are left out: what stands in the names of some of them, then others…  → lane | nil
-- Safe twice: it gives the next lane its turn early.
local left_out = {}
for n = 2, #ARGV do left_out[ARGV[n]] = true end
for _ = 1, redis.call('LLEN', KEYS[1]) do
  local lane = redis.call('LMOVE', KEYS[1], KEYS[1], 'LEFT', 'RIGHT')
  local entries = redis.call('XLEN', lane)
  if entries == 0 then
    redis.call('LREM', KEYS[1], 0, lane)
    redis.call('DEL', lane)
  elseif left_out[lane] or (ARGV[1] and string.find(lane, ARGV[1], 1, true)) then
    -- Its turn comes round again; whoever has room for it asks for it then.
  elseif entries > redis.call('XPENDING', lane, WORKERS)[1] then
    return lane
  end
end
return nil
