-- Find wait lists whose entry is not in its lane.
-- KEYS wait lists  ARGV budget_bytes, then the lane of each  → how many were checked, then the keys of those without
-- Reads only.
local spent, checked = 0, {0}
for i, list in ipairs(KEYS) do
  local entry = redis.call('LINDEX', list, 0)
  if entry then
    local found = redis.call('XRANGE', ARGV[i + 1], entry, entry)[1]
    if found then
      for _, part in ipairs(found[2]) do spent = spent + #part end
    else
      checked[#checked + 1] = list
    end
  end
  checked[1] = checked[1] + 1
  if spent > tonumber(ARGV[1]) then break end
end
return checked
