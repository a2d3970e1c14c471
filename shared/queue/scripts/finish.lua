-- Computations have ended: every job on an entry's wait list ends with its result; successes are cached, unless `cache`
-- is '': the result must not be used again. Images of failures are kept for a while (keep_failed). Entries are deleted last, so that after an error they are still there and
-- their lease ends.
-- KEYS shadow's lane, where images of some of these results are to be shadowed, or none
-- ARGV record_task cache_ttl_ms run failed_ttl_ms failed_bytes, then (lane entry waiting cache state output error code attempts)…; with a shadow's
--   lane, last: chosen (a 1 or 0 for each result) version version_key lane_cap lane_bytes_cap output_cap
-- → jobs ended; with a shadow's lane {jobs ended, images moved to it, images for which it was full}; jobs ended are
--   negative where some are left, of an output that many wait for: call it again with the same arguments.
-- Safe twice: the second time the list is gone; only the cache and the deletion are repeated.
allow_writes()
local SHADOW = KEYS[1]
local chosen, version, version_key, lane_cap, bytes_cap, output_cap
if SHADOW then chosen, version, version_key, lane_cap, bytes_cap, output_cap = unpack(ARGV, #ARGV - 5) end
local moved, full, shadow_bytes = 0, 0, nil

-- Move the image of a computation, whose first job was `id`, to the shadow's lane: only where that job is the champion's.
local function shadow(lane, entry, waiting, id, output)
  local owner, request = unpack(redis.call('HMGET', JOB .. id, 'owner', 'request'))
  local parsed, members = pcall(cjson.decode, request)
  if not parsed or members.variant ~= 'champion' then return end
  local kept = image_key(lane, entry)
  local size, inline = redis.call('STRLEN', kept), nil
  if size == 0 then
    local found = redis.call('XRANGE', lane, entry, entry)[1]
    for i = 1, found and #found[2] or 0, 2 do
      if found[2][i] == 'image' then inline = found[2][i + 1] end
    end
    if not inline then return end
  end
  if #output > tonumber(output_cap) then output = '' end
  shadow_bytes = shadow_bytes
    or (redis.call('MEMORY', 'USAGE', SHADOW, 'SAMPLES', 5) or 0) + (redis.call('HGET', IMAGE_BYTES, SHADOW) or 0)
  if redis.call('XLEN', SHADOW) >= tonumber(lane_cap) or shadow_bytes >= tonumber(bytes_cap) then
    full = full + 1
    return
  end
  if redis.call('EXISTS', SHADOW) == 0 then redis.call('XGROUP', 'CREATE', SHADOW, WORKERS, '0', 'MKSTREAM') end
  local fields = {
    'prediction', id, 'owner', owner, 'digest', string.match(waiting, '[^:]+$'), 'version', version, 'key', version_key,
    'output', output,
  }
  if inline then
    fields[#fields + 1] = 'image'
    fields[#fields + 1] = inline
  end
  if members.trace then
    fields[#fields + 1] = 'trace'
    fields[#fields + 1] = members.trace
  end
  local new = redis.call('XADD', SHADOW, '*', unpack(fields))
  if not inline then
    redis.call('RENAME', kept, image_key(SHADOW, new))
    redis.call('HINCRBY', IMAGE_BYTES, lane, -size)
    redis.call('HINCRBY', IMAGE_BYTES, SHADOW, size)
  end
  shadow_bytes = shadow_bytes + size + #output + (inline and #inline or 0)
  moved = moved + 1
end

-- Whether the owner of a computation that nobody waits for any more was purged since its image came, by the entry's id: the
-- purge has deleted what was cached, and would not see this. Clocks of two machines may lie 5 s apart.
local function is_purged(cache, entry)
  local owner = string.match(cache, '^' .. CACHE .. '([^:]*):') or ''
  local marked, ended = redis.call('ZSCORE', PURGING, owner), redis.call('ZSCORE', PURGED, redis.sha1hex(owner))
  local came = tonumber(string.match(entry, '^%d+')) * 1000
  return marked and tonumber(marked) > tonumber(now) or ended and tonumber(ended) + 5000000 >= came
end

-- Bytes of outputs that one call writes: 500 jobs that share one of 1 MiB would hold Redis for a second.
local MOST = 4194304
local lists, gone, written, is_left = {}, {}, 0, false
for i = 6, #ARGV - 8, 9 do
  local lane, entry, waiting, cache, state, output, error, code, attempts = unpack(ARGV, i, i + 8)
  local key, list = wait_list(waiting, entry)
  local result = {source = 'model', output = output, error = error, code = code, attempts = attempts, run = ARGV[3]}
  local first
  for place = 2, #list do
    if written > 0 and written + #output > MOST then is_left = true break end
    -- The first job that ends is the one the model computed for; those that had joined it share its result.
    if put(list[place], state, result) then
      first = first or list[place]
      written, result.source = written + #output, 'coalesced'
    elseif redis.call('HGET', JOB .. list[place], 'state') == state then
      first = first or list[place]
      result.source = 'coalesced'  -- it ended in the call before
    end
  end
  if is_left then break end
  lists[#lists + 1] = key
  if state == 'succeeded' and cache ~= '' and (key or not is_purged(cache, entry)) then
    redis.call('SET', cache, output, 'PX', ARGV[2])
  end
  local place = (i + 3) / 9
  if SHADOW and first and string.sub(chosen, place, place) == '1' then shadow(lane, entry, waiting, first, output) end
  if state == 'failed' and first then keep_failed(first, waiting, lane, entry, ARGV[4], ARGV[5]) end
  gone[lane] = gone[lane] or {}
  table.insert(gone[lane], entry)
end
in_pieces(lists, function(...) redis.call('DEL', ...) end)
for lane, entries in pairs(gone) do
  in_pieces(entries, function(...) drop(lane, ...) end)
end
announce(ARGV[1])
local said = is_left and -#ended or #ended
if SHADOW then return {said, moved, full} end
return said
