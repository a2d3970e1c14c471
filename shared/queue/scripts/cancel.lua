-- Cancel one job and take it off its wait list; the entry is deleted only when no job is left on it.
-- ARGV record_task id mode(user|deadline) owner|''  → missing | already | started | canceled
-- Safe twice: the second time it is already terminal.
local id, mode = ARGV[2], ARGV[3]
local job = redis.call('HMGET', JOB .. id, 'state', 'owner', 'lane', 'waiting', 'entry')
if not job[1] then
  if mode == 'deadline' then redis.call('ZREM', DEADLINES, id) end
  return 'missing'
end
if ARGV[4] ~= '' and job[2] ~= ARGV[4] then return 'missing' end
if TERMINAL[job[1]] then return 'already' end
if mode == 'deadline' and job[1] ~= 'starting' then
  redis.call('ZREM', DEADLINES, id)
  return 'started'
end

allow_writes()
if mode == 'deadline' then
  put(id, 'canceled', {error = 'not started before its Cancel-After', code = 'deadline_exceeded'})
else
  put(id, 'canceled', {})
end
leave(id, job[3], job[4], job[5])
announce(ARGV[1])
return 'canceled'
