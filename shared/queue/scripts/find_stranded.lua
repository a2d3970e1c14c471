-- Find stranded entries: they were delivered but are pending with no consumer, so nobody will ever read them.
-- KEYS stream  ARGV group from ('-' or an id to begin after) budget_bytes
-- → id to resume after ('' at the end), then the entries
-- Reads only.
local last = nil
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group.name == ARGV[1] then last = group['last-delivered-id'] end
  end
end
if not last or last == '0-0' then return {''} end

local from, spent, stranded = ARGV[2], 0, {''}
if from ~= '-' then from = '(' .. from end
for _ = 1, 500 do
  local found = redis.call('XRANGE', KEYS[1], from, last, 'COUNT', 1)[1]
  if not found then return stranded end
  if not redis.call('XPENDING', KEYS[1], ARGV[1], found[1], found[1], 1)[1] then stranded[#stranded + 1] = found[1] end
  if found[1] == last then return stranded end
  for _, part in ipairs(found[2]) do spent = spent + #part end
  from = '(' .. found[1]
  if spent > tonumber(ARGV[3]) then break end
end
stranded[1] = string.sub(from, 2)
return stranded
