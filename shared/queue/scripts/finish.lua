-- Computations have ended: every job on an entry's wait list ends with its result; successes are cached, unless `cache`
-- is '': the result must not be used again. Entries are
-- deleted last, so that after an error they are still there and their lease ends.
-- ARGV record_task cache_ttl_ms run, then (lane entry waiting cache state output error code attempts)…
-- → jobs ended; negative where some are left, of an output that many wait for: call it again with the same arguments.
-- Safe twice: the second time the list is gone; only the cache and the deletion are repeated.
allow_writes()
-- Bytes of outputs that one call writes: 500 jobs that share one of 1 MiB would hold Redis for a second.
local MOST = 4194304
local lists, gone, written, is_left = {}, {}, 0, false
for i = 4, #ARGV, 9 do
  local lane, entry, waiting, cache, state, output, error, code, attempts = unpack(ARGV, i, i + 8)
  local key, list = wait_list(waiting, entry)
  local result = {source = 'model', output = output, error = error, code = code, attempts = attempts, run = ARGV[3]}
  for place = 2, #list do
    if written > 0 and written + #output > MOST then is_left = true break end
    -- The first job that ends is the one the model computed for; those that had joined it share its result.
    if put(list[place], state, result) then
      written, result.source = written + #output, 'coalesced'
    elseif redis.call('HGET', JOB .. list[place], 'state') == state then
      result.source = 'coalesced'  -- it ended in the call before
    end
  end
  if is_left then break end
  lists[#lists + 1] = key
  if state == 'succeeded' and cache ~= '' then redis.call('SET', cache, output, 'PX', ARGV[2]) end
  gone[lane] = gone[lane] or {}
  table.insert(gone[lane], entry)
end
in_pieces(lists, function(...) redis.call('DEL', ...) end)
for lane, entries in pairs(gone) do
  in_pieces(entries, function(...) drop(lane, ...) end)
end
announce(ARGV[1])
return is_left and -#ended or #ended
