-- Computations ended: every job that waits for one ends with its result; successes are cached; the entries go last,
-- so that an error before leaves them to the lease.
-- ARGV record_task cache_ttl_ms run, then (lane entry waiting cache state output error code attempts)…  → jobs ended
-- Safe twice: the second time the list is gone, which leaves the cache and the acknowledgement.
allow_writes()
local lists, gone = {}, {}
for i = 4, #ARGV, 9 do
  local lane, entry, state = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  local key, list = wait_list(ARGV[i + 2], entry)
  local result = {output = ARGV[i + 5], error = ARGV[i + 6], code = ARGV[i + 7], attempts = ARGV[i + 8], run = ARGV[3]}
  for place = 2, #list do
    if put(list[place], state, result) then result.source = 'coalesced' end
  end
  lists[#lists + 1] = key
  if state == 'succeeded' then redis.call('SET', ARGV[i + 3], ARGV[i + 5], 'PX', ARGV[2]) end
  gone[lane] = gone[lane] or {}
  table.insert(gone[lane], entry)
end
in_pieces(lists, function(...) redis.call('DEL', ...) end)
for lane, entries in pairs(gone) do
  in_pieces(entries, function(...) drop(lane, ...) end)
end
announce(ARGV[1])
return #ended
