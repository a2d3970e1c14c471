-- Has each wait list its entry?
-- KEYS wait lists  ARGV budget_bytes, then the lane of each  → how many were looked at, then the keys of those without
-- Reads only.
local spent, looked = 0, {0}
for i, list in ipairs(KEYS) do
  local entry = redis.call('LINDEX', list, 0)
  if entry then
    local found = redis.call('XRANGE', ARGV[i + 1], entry, entry)[1]
    if found then
      for _, part in ipairs(found[2]) do spent = spent + #part end
    else
      looked[#looked + 1] = list
    end
  end
  looked[1] = looked[1] + 1
  if spent > tonumber(ARGV[1]) then break end
end
return looked
