-- Cancel the jobs of a canceled batch's lane, as many as block Redis for about a millisecond.
-- KEYS lane  ARGV id record_task most_entries most_bytes  → entries left; at 0 the batch leaves `uploads`
-- Safe twice: an entry is deleted with its jobs. A worker's late result only goes into the cache.
allow_writes()
local bytes = 0
for _ = 1, ARGV[3] do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not first then break end
  local entry, fields = first[1], {}
  for i = 1, #first[2], 2 do fields[first[2][i]] = first[2][i + 1] end
  local key, list = wait_list(fields.waiting, entry)
  for place = 2, #list do put(list[place], 'canceled', {}) end
  if key then redis.call('DEL', key) end
  drop(KEYS[1], entry)
  bytes = bytes + #(fields.image or '')
  if bytes > tonumber(ARGV[4]) then break end
end
local left = redis.call('XLEN', KEYS[1])
if left == 0 then redis.call('ZREM', UPLOADS, ARGV[1]) end
announce(ARGV[2])
return left
