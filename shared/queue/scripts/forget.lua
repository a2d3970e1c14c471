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
    if job[4] and redis.call('LINDEX', job[4], 0) == job[5] then
      redis.call('LREM', job[4], 0, id)
      if redis.call('LLEN', job[4]) == 1 then
        redis.call('DEL', job[4])
        drop(job[3], job[5])
      end
    end
    dropped = dropped + 1
  end
end
return dropped
