-- Drop unfinished jobs whose rows exist: what Redis lost in a crash had been recorded. Missing is terminal, so polls
-- then read the row.  ARGV id…  → how many were dropped
-- Safe twice: the second time the hash is gone.
allow_writes()
local dropped = 0
for _, id in ipairs(ARGV) do
  local job = redis.call('HMGET', JOB .. id, 'state', 'owner', 'lane', 'waiting', 'entry')
  if job[1] and not TERMINAL[job[1]] then
    redis.call('DEL', JOB .. id)
    redis.call('ZREM', INFLIGHT .. job[2], id)
    redis.call('ZREM', DEADLINES, id)
    leave(id, job[3], job[4], job[5])
    dropped = dropped + 1
  end
end
return dropped
