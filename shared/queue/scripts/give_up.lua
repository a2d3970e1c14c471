-- Fail jobs that have waited for `patience_us` for a model that no worker has served for as long; as many as block Redis
-- for about a millisecond. `unserved` keeps since when no worker has served it; it expires if no call comes for keep_ms.
-- KEYS lane workers unserved  ARGV record_task error patience_us seen_us keep_ms most_entries most_bytes
--   failed_ttl_ms failed_bytes
-- → for how long no worker has served it (microseconds, 0 if one does), jobs ended, 1 if there may be more
-- Safe twice: an entry is deleted with its jobs. Whether a worker serves the model is checked in the same step. A worker
-- that had pulled an entry and comes back finds its wait list gone: it begins nothing, and its result ends no job.
allow_writes()
local newest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
if newest and tonumber(now) - tonumber(newest) < tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[3])
  return {0, 0, 0}
end
local since = redis.call('GET', KEYS[3]) or now
redis.call('SET', KEYS[3], since, 'PX', ARGV[5])
local patience = tonumber(ARGV[3])
local unserved = math.max(1, tonumber(now) - tonumber(since))
if unserved < patience then return {unserved, 0, 0} end

local latest_ms = (tonumber(now) - patience) / 1000
local bytes, more = 0, 1
for _ = 1, ARGV[6] do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not first or tonumber(string.match(first[1], '^%d+')) > latest_ms then more = 0 break end
  local entry, fields = first[1], {}
  for i = 1, #first[2], 2 do fields[first[2][i]] = first[2][i + 1] end
  local key, list = wait_list(fields.waiting, entry)
  for place = 2, #list do put(list[place], 'failed', {error = ARGV[2], code = 'model_unavailable'}) end
  if list[2] then keep_failed(list[2], fields.waiting, KEYS[1], entry, ARGV[8], ARGV[9]) end
  if key then redis.call('DEL', key) end
  drop(KEYS[1], entry)
  bytes = bytes + #(fields.image or '')
  if bytes > tonumber(ARGV[7]) then break end
end
announce(ARGV[1])
return {unserved, #ended, more}
