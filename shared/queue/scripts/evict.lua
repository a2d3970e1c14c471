-- Of cached outputs and recorded jobs, drop the half that has the least of its time left.
-- KEYS of them, and others  ARGV for each: milliseconds it was given
-- → how many were dropped
-- Safe twice: what is gone is gone. A key without a TTL is unfinished work, whatever it was a moment ago: it stays.
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
