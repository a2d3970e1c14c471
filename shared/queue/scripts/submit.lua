-- Accept jobs for one lane, each by itself: answer it from the cache, let it join a computation, or start one. Nothing
-- of a job is written when it is refused. What is no image has no wait list, and what is wrong with it in the image's
-- place: it is refused where an image would be, and else it has failed at once and waits in `finished` for its row.
-- KEYS lane bell inflight rotation|'' rate|'', then (job idempotency|'' cache|'' waiting|'')…
-- ARGV owner batch lane_cap lane_bytes_cap waiters_cap memory_high interval_us burst inflight_cap|'' queue predict_task
--   record_task, then (id request image version cancel_after_us fingerprint tell_start)…
-- → for each: again id | closed id | known id | mismatch id | fast id wait_us | many id | full id | hit id created output |
--   failed id created | follow id created | queued id created; last, what is left: images|-1 until_all_us unfinished|-1
-- Safe twice: a job's first line. All its writes come after its last refusal.
local LANE, BELL, INFLIGHT_OF_OWNER, ROTATION, RATE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local OWNER, BATCH_ID, LANE_CAP, LANE_BYTES_CAP = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local WAITERS_CAP, MEMORY_HIGH, INFLIGHT_CAP = tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[9])
local batch = BATCH_ID ~= '' and BATCH .. BATCH_ID
local closed = batch and redis.call('HGET', batch, 'state') ~= 'validating'
local work = false
local allowance = RATE ~= '' and allowance_of(RATE, ARGV[7], ARGV[8])
local unfinished = INFLIGHT_CAP and redis.call('ZCARD', INFLIGHT_OF_OWNER)
local bytes_in = {}  -- a stream's, looked at once, by the first job that needs an entry in it

-- Does a stream of so many entries take no more? Where it does, one more of `size` bytes is counted.
local function is_full(stream, depth, size)
  if MEMORY_HIGH or depth >= LANE_CAP then return true end
  bytes_in[stream] = bytes_in[stream] or redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 5) or 0
  if bytes_in[stream] >= LANE_BYTES_CAP then return true end
  bytes_in[stream] = bytes_in[stream] + size
  return false
end

local function submit(job, idempotency, cache, waiting, id, request, image, version, cancel_after, fingerprint, tell_start)
  if redis.call('EXISTS', job) == 1 then
    work = true
    return {'again', id}
  end

  if closed then return {'closed', id} end

  if idempotency ~= '' then
    local first = redis.call('GET', idempotency)
    if first then
      local first_id, same = string.match(first, '^(%S+) (.*)$')
      return {same == fingerprint and 'known' or 'mismatch', first_id}
    end
  end

  local wait = allowance and allowance.wait()
  if wait and wait > 0 then return {'fast', id, string.format('%.0f', wait)} end

  local function accept(...)
    if allowance then allowance.take() end
    if batch then redis.call('HINCRBY', batch, 'total', 1) end
    redis.call('HSET', job, 'state', 'starting', 'owner', OWNER, 'batch', BATCH_ID, 'request', request, 'created', now, ...)
    if idempotency ~= '' then
      redis.call('SET', idempotency, id .. ' ' .. fingerprint)
      redis.call('ZADD', IDEMPOTENCY_KEYS, now, idempotency)
    end
  end

  local readable = waiting ~= ''
  local output = readable and redis.call('GET', cache)
  if output then
    accept()
    put(id, 'succeeded', {output = output, source = 'cache'})
    return {'hit', id, now, output}
  end

  if unfinished and unfinished >= INFLIGHT_CAP then return {'many', id} end

  if not readable then
    local full = is_full(LANE, redis.call('XLEN', LANE), 0) or is_full(FINISHED, redis.call('XLEN', FINISHED), #request)
    if full then return {'full', id} end
    accept()
    put(id, 'failed', {error = image, code = 'undecodable_image'})
    return {'failed', id, now}
  end

  local function live()
    if unfinished then unfinished = unfinished + 1 end
    redis.call('ZADD', INFLIGHT_OF_OWNER, now, id)
    if tell_start == '1' then redis.call('HSET', job, 'tell_start', '1') end
    if cancel_after ~= '0' then
      local deadline = string.format('%.0f', tonumber(now) + tonumber(cancel_after))
      redis.call('HSET', job, 'deadline', deadline)
      redis.call('ZADD', DEADLINES, deadline, id)
    end
  end

  local entry = redis.call('LINDEX', waiting, 0)
  if entry and redis.call('LLEN', waiting) <= WAITERS_CAP then
    accept('lane', LANE, 'waiting', waiting, 'entry', entry)
    redis.call('RPUSH', waiting, id)
    live()
    return {'follow', id, now}
  end

  local depth = redis.call('XLEN', LANE)
  if is_full(LANE, depth, #image) then return {'full', id} end

  if depth == 0 and redis.call('EXISTS', LANE) == 0 then
    redis.call('XGROUP', 'CREATE', LANE, WORKERS, '0', 'MKSTREAM')
    if ROTATION ~= '' then redis.call('RPUSH', ROTATION, LANE) end
  end
  if entry then  -- a full wait list: long ones block Redis when they end
    local renamed = waiting .. ':' .. entry
    redis.call('RENAME', waiting, renamed)
    for _, other in ipairs(redis.call('LRANGE', renamed, 1, -1)) do redis.call('HSET', JOB .. other, 'waiting', renamed) end
  end
  local new = redis.call('XADD', LANE, '*', 'waiting', waiting, 'cache', cache, 'version', version, 'image', image)
  accept('lane', LANE, 'waiting', waiting, 'entry', new)
  redis.call('RPUSH', waiting, new, id)
  live()
  work = true
  return {'queued', id, now}
end

local answers = {}
for n = 0, (#KEYS - 5) / 4 - 1 do
  answers[n + 1] = submit(KEYS[4 * n + 6], KEYS[4 * n + 7], KEYS[4 * n + 8], KEYS[4 * n + 9], unpack(ARGV, 7 * n + 13, 7 * n + 19))
end
announce(ARGV[12])
if work then ring(BELL, ARGV[10], ARGV[11]) end
local left, until_all = -1, 0
if allowance then left, until_all = allowance.keep() end
answers[#answers + 1] = {left, until_all, unfinished and math.max(0, INFLIGHT_CAP - unfinished) or -1}
return answers
