-- Entries are about to be computed: their jobs move from starting to processing; those past their deadline are canceled.
-- ARGV record_task webhook_task, then (lane entry waiting)…
-- → for each entry 1 compute | 0 skip: no job waits for it any more, and it was deleted
-- Safe twice: acts only on starting jobs. `started`, for webhooks' start events, keeps the last 10,000 or so.
allow_writes()
local function tell_start(id)
  local job = redis.call('HMGET', JOB .. id, 'owner', 'request', 'created')
  redis.call('XADD', STARTED, 'MAXLEN', '~', 10000, '*', 'id', id, 'owner', job[1], 'request', job[2], 'created', job[3], 'started', now)
  ring(WEBHOOK_BELL, WEBHOOK_QUEUE, ARGV[2])
end

local verdicts = {}
for i = 3, #ARGV, 3 do
  local lane, entry, waiting = unpack(ARGV, i, i + 2)
  local key, list = wait_list(waiting, entry)
  local wanted = 0
  for place = 2, #list do
    local id = list[place]
    local job = redis.call('HMGET', JOB .. id, 'state', 'deadline', 'tell_start')
    if job[1] == 'starting' and job[2] and tonumber(job[2]) <= tonumber(now) then
      put(id, 'canceled', {error = 'not started before its Cancel-After', code = 'deadline_exceeded'})
    elseif job[1] == 'starting' then
      redis.call('HSET', JOB .. id, 'state', 'processing', 'started', now)
      if job[2] then redis.call('ZREM', DEADLINES, id) end
      if job[3] then tell_start(id) end
      wanted = 1
    elseif job[1] == 'processing' then
      wanted = 1
    end
  end
  if wanted == 0 then
    if key then redis.call('DEL', key) end
    drop(lane, entry)
  end
  verdicts[#verdicts + 1] = wanted
end
announce(ARGV[1])
return verdicts
