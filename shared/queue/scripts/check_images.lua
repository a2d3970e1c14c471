-- Find images that are kept for good although their entry is not in its lane.
-- KEYS images  ARGV lane and entry of each…  → the keys of those without
-- Reads only.
local without = {}
for i, image in ipairs(KEYS) do
  local lane, entry = ARGV[2 * i - 1], ARGV[2 * i]
  if redis.call('PTTL', image) == -1 and #redis.call('XRANGE', lane, entry, entry) == 0 then
    without[#without + 1] = image
  end
end
return without
