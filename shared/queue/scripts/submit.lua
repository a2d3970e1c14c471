-- Accept jobs for one lane, each by itself: answer it from the cache, let it join a computation, or start one. Nothing
-- of a job is written when it is refused. An item that is no image has no wait list, and an error's text in the image's
-- place: it is refused where an image would be; otherwise it fails at once and waits in `finished` for its row.
-- An image given as '' was staged: written before to a key of its own that expires. It becomes its entry's in the step
-- that makes the entry, and is deleted where there is no entry. `unset`: the key is not there; stage it, submit again.
-- KEYS lane bell inflight rotation|'' rate|'', then (job idempotency|'' cache|'' waiting|'')…
-- ARGV owner batch lane_cap lane_bytes_cap waiters_cap memory_high interval_us burst inflight_cap|'' queue predict_task
--   record_task, then (id request image version cancel_after_us fingerprint tell_start trace|'')…
-- → for each: again id | closed id | known id | mismatch id | fast id wait_us | many id | full id | unset id |
--   hit id created output | failed id created | follow id created | queued id created; last, what is left: images|-1
--   until_all_us unfinished|-1
-- Safe twice: a job's first line. All its writes come after its last refusal.
local SHARED_KEYS, KEYS_OF_A_JOB, SHARED_ARGUMENTS, ARGUMENTS_OF_A_JOB = 5, 4, 12, 8
local LANE, BELL, INFLIGHT_OF_OWNER, ROTATION, RATE = unpack(KEYS, 1, SHARED_KEYS)
local OWNER, BATCH_ID, lane_cap, lane_bytes_cap, waiters_cap, memory_high, INTERVAL, BURST, inflight_cap, QUEUE,
  PREDICT_TASK, RECORD_TASK = unpack(ARGV, 1, SHARED_ARGUMENTS)
local LANE_CAP, LANE_BYTES_CAP, WAITERS_CAP = tonumber(lane_cap), tonumber(lane_bytes_cap), tonumber(waiters_cap)
local MEMORY_HIGH, INFLIGHT_CAP = memory_high == '1', tonumber(inflight_cap)

local batch = BATCH_ID ~= '' and BATCH .. BATCH_ID
local closed = batch and redis.call('HGET', batch, 'state') ~= 'validating'
local has_work = false  -- then a worker is woken
local TRACE = batch and 'upload_trace' or 'trace'
local allowance = RATE ~= '' and allowance_of(RATE, INTERVAL, BURST)
local unfinished = INFLIGHT_CAP and redis.call('ZCARD', INFLIGHT_OF_OWNER)
local bytes_in = {}  -- by stream, measured once, for the first job that needs an entry in it
local accepted, waiting_ids, depth = 0, {}, nil  -- what is written once for all jobs, and the lane's entries, read once

-- Whether a stream of `depth` entries takes no more. Where it does take one more, its `size` in bytes is counted.
local function is_full(stream, depth, size)
  if MEMORY_HIGH or depth >= LANE_CAP then return true end
  if not bytes_in[stream] then
    bytes_in[stream] = (redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 5) or 0) + (redis.call('HGET', IMAGE_BYTES, stream) or 0)
  end
  if bytes_in[stream] >= LANE_BYTES_CAP then return true end
  bytes_in[stream] = bytes_in[stream] + size
  return false
end

local function submit(job, idempotency, cache, waiting, id, request, image, version, cancel_after, fingerprint, tell_start, trace)
  if redis.call('EXISTS', job) == 1 then
    has_work = true
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

  -- Write the job; the arguments are further fields of its hash.
  local function accept(...)
    if allowance then allowance.take() end
    accepted = accepted + 1
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

  -- The job is unfinished from now on.
  local function begin_waiting()
    if unfinished then unfinished = unfinished + 1 end
    waiting_ids[#waiting_ids + 1] = now
    waiting_ids[#waiting_ids + 1] = id
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
    begin_waiting()
    return {'follow', id, now}
  end

  depth = depth or redis.call('XLEN', LANE)
  local staged, size = image == '', #image
  if staged then size = redis.call('STRLEN', STAGED .. id) end
  if is_full(LANE, depth, size) then return {'full', id} end
  if size == 0 then return {'unset', id} end

  if depth == 0 and redis.call('EXISTS', LANE) == 0 then
    redis.call('XGROUP', 'CREATE', LANE, WORKERS, '0', 'MKSTREAM')
    if ROTATION ~= '' then redis.call('RPUSH', ROTATION, LANE) end
  end
  if entry then  -- its wait list is full: ending a long one would block Redis, so it is renamed and a new one begun
    local renamed = waiting .. ':' .. entry
    redis.call('RENAME', waiting, renamed)
    for _, other in ipairs(redis.call('LRANGE', renamed, 1, -1)) do redis.call('HSET', JOB .. other, 'waiting', renamed) end
  end
  local new  -- added first, because the first write alone is refused when the memory is full
  if staged then
    if trace == '' then
      new = redis.call('XADD', LANE, '*', 'waiting', waiting, 'cache', cache, 'version', version)
    else
      new = redis.call('XADD', LANE, '*', 'waiting', waiting, 'cache', cache, 'version', version, TRACE, trace)
    end
    local kept = image_key(LANE, new)
    redis.call('RENAME', STAGED .. id, kept)
    redis.call('PERSIST', kept)
    redis.call('HINCRBY', IMAGE_BYTES, LANE, size)
  elseif trace == '' then
    new = redis.call('XADD', LANE, '*', 'waiting', waiting, 'cache', cache, 'version', version, 'image', image)
  else
    new = redis.call('XADD', LANE, '*', 'waiting', waiting, 'cache', cache, 'version', version, 'image', image, TRACE, trace)
  end
  depth = depth + 1
  accept('lane', LANE, 'waiting', waiting, 'entry', new)
  redis.call('RPUSH', waiting, new, id)
  begin_waiting()
  has_work = true
  return {'queued', id, now}
end

local answers, unwanted = {}, {}
local argument = SHARED_ARGUMENTS
for key = SHARED_KEYS, #KEYS - 1, KEYS_OF_A_JOB do
  local job, idempotency, cache, waiting = unpack(KEYS, key + 1, key + KEYS_OF_A_JOB)
  local answer = submit(job, idempotency, cache, waiting, unpack(ARGV, argument + 1, argument + ARGUMENTS_OF_A_JOB))
  answers[#answers + 1] = answer
  if ARGV[argument + 3] == '' and answer[1] ~= 'queued' then unwanted[#unwanted + 1] = STAGED .. ARGV[argument + 1] end
  argument = argument + ARGUMENTS_OF_A_JOB
end
in_pieces(unwanted, function(...) redis.call('UNLINK', ...) end)
-- Before `announce`, which takes those that ended here out again.
in_pieces(waiting_ids, function(...) redis.call('ZADD', INFLIGHT_OF_OWNER, ...) end)
if batch and accepted > 0 then redis.call('HINCRBY', batch, 'total', accepted) end
announce(RECORD_TASK)
if has_work then ring(BELL, QUEUE, PREDICT_TASK) end
local left, until_all = -1, 0
if allowance then left, until_all = allowance.keep() end
answers[#answers + 1] = {left, until_all, unfinished and math.max(0, INFLIGHT_CAP - unfinished) or -1}
return answers
