-- Accept jobs for one lane, each by itself: answer it from the cache, let it join a computation, or start one. Nothing
-- of a job is written when it is refused.
-- KEYS lane bell inflight rotation|'', then (job idempotency|'' cache waiting)…
-- ARGV owner batch lane_cap waiters_cap memory_high queue predict_task record_task,
--   then (id request image version cancel_after_us fingerprint tell_start)…
-- → for each: again id | closed id | known id | mismatch id | full id | hit id created output | follow id created | queued id created
-- Safe twice: a job's first line. All its writes come after its last refusal.
local LANE, BELL, INFLIGHT_OF_OWNER, ROTATION = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local OWNER, BATCH_ID, LANE_CAP, WAITERS_CAP, MEMORY_HIGH = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local batch = BATCH_ID ~= '' and BATCH .. BATCH_ID
local closed = batch and redis.call('HGET', batch, 'state') ~= 'validating'
local work = false

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

  local function accept(...)
    if batch then redis.call('HINCRBY', batch, 'total', 1) end
    redis.call('HSET', job, 'state', 'starting', 'owner', OWNER, 'batch', BATCH_ID, 'request', request, 'created', now, ...)
    if idempotency ~= '' then
      redis.call('SET', idempotency, id .. ' ' .. fingerprint)
      redis.call('ZADD', IDEMPOTENCY_KEYS, now, idempotency)
    end
  end

  local output = redis.call('GET', cache)
  if output then
    accept()
    put(id, 'succeeded', {output = output, source = 'cache'})
    return {'hit', id, now, output}
  end

  local function live()
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
  if MEMORY_HIGH or depth >= LANE_CAP then return {'full', id} end

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
for n = 0, (#KEYS - 4) / 4 - 1 do
  answers[n + 1] = submit(KEYS[4 * n + 5], KEYS[4 * n + 6], KEYS[4 * n + 7], KEYS[4 * n + 8], unpack(ARGV, 7 * n + 9, 7 * n + 15))
end
announce(ARGV[8])
if work then ring(BELL, ARGV[6], ARGV[7]) end
return answers
