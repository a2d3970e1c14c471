-- Return the next bulk lane in rotation with entries that no worker has leased, and move the rotation on. Empty lanes are
-- deleted, with their consumer group.
-- KEYS rotation  ARGV to skip lanes: a part of the names of some, then whole names of others…  → lane | nil
-- Safe twice: the next lane comes early.
local skipped = {}
for n = 2, #ARGV do skipped[ARGV[n]] = true end
for _ = 1, redis.call('LLEN', KEYS[1]) do
  local lane = redis.call('LMOVE', KEYS[1], KEYS[1], 'LEFT', 'RIGHT')
  local entries = redis.call('XLEN', lane)
  if entries == 0 then
    redis.call('LREM', KEYS[1], 0, lane)
    redis.call('DEL', lane)
  elseif skipped[lane] or (ARGV[1] and string.find(lane, ARGV[1], 1, true)) then
    -- It stays in rotation, for workers that have room for its images.
  elseif entries > redis.call('XPENDING', lane, WORKERS)[1] then
    return lane
  end
end
return nil
