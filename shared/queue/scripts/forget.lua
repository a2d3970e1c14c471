-- Delete unfinished jobs whose rows exist: Redis lost their end in a crash after it had been recorded. A missing job is
-- terminal, so polls then read the row.  ARGV id…  → how many were deleted
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
