-- Of the given keys that have a TTL, delete the half with the smallest share of their time left.
-- KEYS cached outputs and recorded jobs  ARGV for each: the TTL it was given, in milliseconds
-- → how many were deleted
-- Safe twice: deleted keys are skipped. A key without a TTL is unfinished work and is never deleted.
local found = {}
for n, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left >= 0 then found[#found + 1] = {key, left / ARGV[n]} end
end
table.sort(found, function(one, other) return one[2] < other[2] end)
local old = {}
for n = 1, math.ceil(#found / 2) do old[n] = found[n][1] end
in_pieces(old, function(...) redis.call('UNLINK', ...) end)
return #old
