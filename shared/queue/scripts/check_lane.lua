-- A snapshot of a lane, by which one sees whether it moves.
-- KEYS lane workers rotation  ARGV overdue_ms
-- → entries, pending, last delivered id, age of the entry after that (ms, 0 where none), first entry pending for longer
--   than overdue_ms ('' where none), how long ago a worker of the model was last seen (ms, -1 where none ever was),
--   1 where the lane is in the rotation
-- Reads only.
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, '0-0', 0, '', -1, 0} end
local last = '0-0'
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  if group.name == WORKERS then last = group['last-delivered-id'] end
end
local pending, overdue = 0, ''
if last ~= '0-0' then
  pending = redis.call('XPENDING', KEYS[1], WORKERS)[1]
  local first = redis.call('XPENDING', KEYS[1], WORKERS, 'IDLE', ARGV[1], '-', '+', 1)[1]
  if first then overdue = first[1] end
end
local now_ms, age, seen = math.floor(tonumber(now) / 1000), 0, -1
local next = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1)[1]
if next then age = now_ms - tonumber(string.match(next[1], '^%d+')) end
local worker = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if worker[1] then seen = now_ms - math.floor(tonumber(worker[2]) / 1000) end
return {redis.call('XLEN', KEYS[1]), pending, last, age, overdue, seen, redis.call('LPOS', KEYS[3], KEYS[1]) and 1 or 0}
