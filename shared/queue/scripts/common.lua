-- Stands before every script: the functions they share. Key names come from keys.py, as upper-case locals.
-- Each script is atomic and safe to run twice; time is Redis' clock; a missing job counts as terminal.

local TERMINAL = {succeeded = true, failed = true, canceled = true}

local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', clock[2])  -- whole microseconds, as text: %g would round
local ended, ended_by_owner = {}, {}

-- Call `call` with the members of a list, a thousand at a time: Lua passes at most 8,000 arguments. One command for many
-- members costs Redis a fraction of one command for each.
local function in_pieces(list, call)
  for first = 1, #list, 1000 do call(unpack(list, first, math.min(first + 999, #list))) end
end

-- Redis checks its memory limit at a script's first write only. Scripts that free memory begin with this one, which is
-- never refused, or they would be refused when they are needed most.
local function allow_writes()
  redis.call('DEL', NOTHING)
end

-- Unless the bell rings: set it to a new token and send the Celery task, whose id is the token.
local function ring(bell, queue, task)
  if redis.call('EXISTS', bell) == 1 then return end
  local token = queue .. '-' .. redis.call('INCR', BELLS)
  redis.call('SET', bell, token, 'PX', 5000)
  redis.call('LPUSH', queue, (string.gsub(task, '{token}', function() return token end)))
end

-- What a rate limit allows: `burst` at once, and one more every `interval` microseconds (GCRA, as virtual scheduling in
-- ITU-T I.371). One instant is stored under `key`: when everything taken so far is paid off.
local function allowance_of(key, interval, burst)
  local clock, ahead, taken = tonumber(now), (burst - 1) * interval, false
  local at = math.max(tonumber(redis.call('GET', key) or 0), clock)
  return {
    wait = function() return at - ahead - clock end,
    take = function() at, taken = at + interval, true end,
    -- Store what was taken; return how many are left, and in how many microseconds all are available again.
    keep = function()
      if taken then redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - clock) / 1000)) end
      return math.max(0, math.floor((clock + ahead - at) / interval) + 1), math.ceil(at - clock)
    end,
  }
end

-- End a job: write its last state, add its record to the finished stream, take it out of `deadlines` (announce takes it
-- out of its owner's unfinished ones). Returns false if it had ended before.
local function put(id, state, result)
  local key = JOB .. id
  local job = redis.call('HMGET', key, 'state', 'owner', 'batch', 'request', 'created', 'started', 'deadline')
  if not job[1] or TERMINAL[job[1]] then return false end
  local output, error, code = result.output or '', result.error or '', result.code or ''
  local source, attempts, run = result.source or 'model', result.attempts or '0', result.run or ''
  redis.call('HSET', key, 'state', state, 'completed', now, 'source', source, 'output', output,
    'error', error, 'code', code, 'attempts', attempts, 'run', run)
  if job[7] then redis.call('ZREM', DEADLINES, id) end
  redis.call('XADD', FINISHED, '*', 'id', id, 'state', state, 'owner', job[2], 'batch', job[3], 'request', job[4],
    'created', job[5], 'started', job[6] or '', 'completed', now, 'source', source, 'output', output,
    'error', error, 'code', code, 'attempts', attempts, 'run', run)
  ended[#ended + 1] = id
  local same = ended_by_owner[job[2]] or {}
  same[#same + 1] = id
  ended_by_owner[job[2]] = same
  return true
end

-- Called last in every script that may have ended jobs: take them out of their owners' unfinished ones, tell gateways
-- that wait for them, and wake a recorder.
local function announce(record_task)
  if #ended == 0 then return end
  for owner, ids in pairs(ended_by_owner) do
    in_pieces(ids, function(...) redis.call('ZREM', INFLIGHT .. owner, ...) end)
  end
  redis.call('PUBLISH', DONE, table.concat(ended, ' '))
  ring(RECORD_BELL, RECORD_QUEUE, record_task)
end

-- Add a batch's record, with its total, to the finished stream, and wake a recorder.
local function record_batch(id, key, record_task)
  local batch = redis.call('HMGET', key, 'state', 'total', 'owner', 'request', 'created')
  redis.call('XADD', FINISHED, '*', 'id', id, 'state', batch[1], 'total', batch[2], 'owner', batch[3],
    'request', batch[4], 'created', batch[5], 'completed', now)
  ring(RECORD_BELL, RECORD_QUEUE, record_task)
end

-- The key of an entry's image, where that is not in the entry itself.
local function image_key(lane, entry)
  return IMAGE .. lane .. ':' .. entry
end

-- Whether an entry, given with its fields as a flat list, has its image: in the entry itself or beside it.
local function has_image(lane, entry, flat)
  for i = 1, #flat, 2 do
    if flat[i] == 'image' then return true end
  end
  return redis.call('EXISTS', image_key(lane, entry)) == 1
end

-- Delete the images that are kept beside these entries of a lane, and count them off.
local function drop_images(lane, entries)
  local kept = redis.call('HGET', IMAGE_BYTES, lane)
  if not kept then return end
  local images, bytes = {}, 0
  for _, entry in ipairs(entries) do
    local key = image_key(lane, entry)
    local size = redis.call('STRLEN', key)
    if size > 0 then images[#images + 1], bytes = key, bytes + size end
  end
  in_pieces(images, function(...) redis.call('UNLINK', ...) end)
  if bytes >= tonumber(kept) or redis.call('XLEN', lane) == 0 then
    redis.call('HDEL', IMAGE_BYTES, lane)
  elseif bytes > 0 then
    redis.call('HINCRBY', IMAGE_BYTES, lane, -bytes)
  end
end

-- Drop images from those kept of failed computations, given as members of their set: "<bytes> failed_image:<owner>:<sha256>".
local function drop_failed(members)
  local images, bytes = {}, 0
  for _, member in ipairs(members) do
    local size, key, owner = string.match(member, '^(%d+) (' .. FAILED_IMAGE .. '(.*):[^:]*)$')
    if redis.call('ZREM', FAILED_IMAGES, member) == 1 then bytes = bytes + tonumber(size) end
    if redis.call('ZREM', FAILED_IMAGES_OF .. owner, member) == 1
        and tonumber(redis.call('ZINCRBY', FAILED_BYTES_BY_OWNER, -size, owner)) <= 0 then
      redis.call('ZREM', FAILED_BYTES_BY_OWNER, owner)
    end
    images[#images + 1] = key
  end
  in_pieces(images, function(...) redis.call('UNLINK', ...) end)
  if bytes > 0 then redis.call('DECRBY', FAILED_BYTES, bytes) end
end

-- Keep the image of a computation that failed, for ttl_ms, so that its jobs can be submitted again. All such images have
-- most_bytes at most: the oldest of the owner that holds most go first, so nobody's failures push out those of an owner
-- that holds no more than an equal share. Redis may evict any. Called before the entry is dropped; `id` is one of its
-- jobs. An image beside its entry is renamed, one within it is copied: that has max_inline_image bytes at most.
local function keep_failed(id, waiting, lane, entry, ttl_ms, most_bytes)
  most_bytes = tonumber(most_bytes)
  local owner = redis.call('HGET', JOB .. id, 'owner')
  if most_bytes == 0 or not owner then return end
  local key = FAILED_IMAGE .. owner .. ':' .. string.match(waiting, '[^:]+$')
  local size = redis.call('STRLEN', key)
  if size == 0 then
    local beside = image_key(lane, entry)
    size = redis.call('STRLEN', beside)
    if size > most_bytes then return end
    if size > 0 then
      redis.call('RENAME', beside, key)
      redis.call('HINCRBY', IMAGE_BYTES, lane, -size)
    else
      local found = redis.call('XRANGE', lane, entry, entry)[1]
      for i = 1, found and #found[2] or 0, 2 do
        if found[2][i] == 'image' and #found[2][i + 1] <= most_bytes then
          size = #found[2][i + 1]
          redis.call('SET', key, found[2][i + 1])
        end
      end
      if size == 0 then return end
    end
  end
  redis.call('PEXPIRE', key, ttl_ms)
  local member = string.format('%.0f ', size) .. key
  if redis.call('ZADD', FAILED_IMAGES, now, member) == 1 then redis.call('INCRBY', FAILED_BYTES, size) end
  if redis.call('ZADD', FAILED_IMAGES_OF .. owner, now, member) == 1 then
    redis.call('ZINCRBY', FAILED_BYTES_BY_OWNER, size, owner)
  end
  local expired = string.format('%.0f', tonumber(now) - tonumber(ttl_ms) * 1000)
  drop_failed(redis.call('ZRANGEBYSCORE', FAILED_IMAGES, '-inf', expired, 'LIMIT', 0, 10))
  while tonumber(redis.call('GET', FAILED_BYTES) or 0) > most_bytes do
    local holder = redis.call('ZREVRANGE', FAILED_BYTES_BY_OWNER, 0, 0)[1]
    if not holder then redis.call('DEL', FAILED_BYTES) break end
    local oldest = redis.call('ZRANGE', FAILED_IMAGES_OF .. holder, 0, 0)
    if oldest[1] then drop_failed(oldest) else redis.call('ZREM', FAILED_BYTES_BY_OWNER, holder) end
  end
end

-- Acknowledge and delete entries of a lane, in one step with their images.
local function drop(lane, ...)
  redis.call('XACK', lane, WORKERS, ...)
  redis.call('XDEL', lane, ...)
  drop_images(lane, {...})
end

-- Take a job off its wait list; the entry is deleted only when no job is left on it.
local function leave(id, lane, waiting, entry)
  if not waiting or redis.call('LINDEX', waiting, 0) ~= entry then return end
  redis.call('LREM', waiting, 0, id)
  if redis.call('LLEN', waiting) == 1 then
    redis.call('DEL', waiting)
    drop(lane, entry)
  end
end

-- The key and the members of an entry's wait list; the jobs begin at the second place. The key is `waiting`, or the name
-- it got when it was full; nil once the computation has ended.
local function wait_list(waiting, entry)
  local list = redis.call('LRANGE', waiting, 0, -1)
  if list[1] == entry then return waiting, list end
  local renamed = waiting .. ':' .. entry
  list = redis.call('LRANGE', renamed, 0, -1)
  if list[1] == entry then return renamed, list end
  return nil, {}
end
