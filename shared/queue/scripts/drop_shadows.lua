-- Delete entries of a shadow's lane, with their images: those of one owner, or all, among the next `count` from `start` on.
-- KEYS shadow's lane  ARGV owner|'' start end count  → deleted, where to go on ('' at the end)
-- Safe twice: they are gone.
allow_writes()
local SHADOW, owner = KEYS[1], ARGV[1]
if redis.call('EXISTS', SHADOW) == 0 then return {0, ''} end
local found = redis.call('XRANGE', SHADOW, ARGV[2], ARGV[3], 'COUNT', ARGV[4])
local gone = {}
for _, entry in ipairs(found) do
  local wanted = owner == ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'owner' and entry[2][i + 1] == owner then wanted = true end
  end
  if wanted then gone[#gone + 1] = entry[1] end
end
if gone[1] then drop(SHADOW, unpack(gone)) end
return {#gone, #found == tonumber(ARGV[4]) and '(' .. found[#found][1] or ''}
