-- Entries are about to be computed: their jobs move from starting to processing, those past their deadline are canceled.
-- ARGV record_task, then (lane entry waiting)…  → for each 1 compute, 0 skip: nobody waits any more and the entry is gone
-- Safe twice: acts only on starting jobs.
allow_writes()
local verdicts = {}
for i = 2, #ARGV, 3 do
  local lane, entry = ARGV[i], ARGV[i + 1]
  local key, list = wait_list(ARGV[i + 2], entry)
  local wanted = 0
  for place = 2, #list do
    local id = list[place]
    local job = redis.call('HMGET', JOB .. id, 'state', 'deadline')
    if job[1] == 'starting' and job[2] and tonumber(job[2]) <= tonumber(now) then
      put(id, 'canceled', {error = 'not started before its Cancel-After', code = 'deadline_exceeded'})
    elseif job[1] == 'starting' then
      redis.call('HSET', JOB .. id, 'state', 'processing', 'started', now)
      if job[2] then redis.call('ZREM', DEADLINES, id) end
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
