-- Accept a job: answer it from the cache, let it join a computation, or start one. Nothing is written when refused.
-- KEYS job idempotency|'' cache waiting lane bell inflight rotation|''
-- ARGV id owner batch request image version cancel_after_us fingerprint lane_cap waiters_cap memory_high queue predict_task record_task
-- → again id | closed id | known id | mismatch id | full | hit id created output | follow id created | queued id created
-- Safe twice: the first line. All writes come after the last refusal.
local id = ARGV[1]
if redis.call('EXISTS', KEYS[1]) == 1 then
  ring(KEYS[6], ARGV[12], ARGV[13])
  return {'again', id}
end

local batch = ARGV[3] ~= '' and BATCH .. ARGV[3]
if batch and redis.call('HGET', batch, 'state') ~= 'validating' then return {'closed', id} end

if KEYS[2] ~= '' then
  local first = redis.call('GET', KEYS[2])
  if first then
    local first_id, fingerprint = string.match(first, '^(%S+) (.*)$')
    return {fingerprint == ARGV[8] and 'known' or 'mismatch', first_id}
  end
end

local function accept(...)
  if batch then redis.call('HINCRBY', batch, 'total', 1) end
  redis.call('HSET', KEYS[1], 'state', 'starting', 'owner', ARGV[2], 'batch', ARGV[3], 'request', ARGV[4], 'created', now, ...)
  if KEYS[2] ~= '' then
    redis.call('SET', KEYS[2], id .. ' ' .. ARGV[8])
    redis.call('ZADD', IDEMPOTENCY_KEYS, now, KEYS[2])
  end
end

local output = redis.call('GET', KEYS[3])
if output then
  accept()
  put(id, 'succeeded', {output = output, source = 'cache'})
  announce(ARGV[14])
  return {'hit', id, now, output}
end

local function live()
  redis.call('ZADD', KEYS[7], now, id)
  if ARGV[7] ~= '0' then
    local deadline = string.format('%.0f', tonumber(now) + tonumber(ARGV[7]))
    redis.call('HSET', KEYS[1], 'deadline', deadline)
    redis.call('ZADD', DEADLINES, deadline, id)
  end
end

local entry = redis.call('LINDEX', KEYS[4], 0)
if entry and redis.call('LLEN', KEYS[4]) <= tonumber(ARGV[10]) then
  accept('lane', KEYS[5], 'waiting', KEYS[4], 'entry', entry)
  redis.call('RPUSH', KEYS[4], id)
  live()
  return {'follow', id, now}
end

local depth = redis.call('XLEN', KEYS[5])
if ARGV[11] == '1' or depth >= tonumber(ARGV[9]) then return {'full', id} end

if depth == 0 and redis.call('EXISTS', KEYS[5]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[5], WORKERS, '0', 'MKSTREAM')
  if KEYS[8] ~= '' then redis.call('RPUSH', KEYS[8], KEYS[5]) end
end
if entry then  -- a full wait list: long ones block Redis when they end
  local renamed = KEYS[4] .. ':' .. entry
  redis.call('RENAME', KEYS[4], renamed)
  for _, other in ipairs(redis.call('LRANGE', renamed, 1, -1)) do redis.call('HSET', JOB .. other, 'waiting', renamed) end
end
local new = redis.call('XADD', KEYS[5], '*', 'waiting', KEYS[4], 'cache', KEYS[3], 'version', ARGV[6], 'image', ARGV[5])
accept('lane', KEYS[5], 'waiting', KEYS[4], 'entry', new)
redis.call('RPUSH', KEYS[4], new, id)
live()
ring(KEYS[6], ARGV[12], ARGV[13])
return {'queued', id, now}
