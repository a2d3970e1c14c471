-- Delete a file and take it off the sums.
-- KEYS file files_of_owner  ARGV owner id  → 1 deleted | 0 it was gone
-- Safe twice: the second time the file is gone, and `counted` with it. Files from before sizes were counted have none.
allow_writes()
local counted = redis.call('HGET', KEYS[1], 'counted')
local there = redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', FILES, ARGV[2] .. ' ' .. ARGV[1])
for _, whose in ipairs(counted and {ARGV[1], ''} or {}) do
  if redis.call('HINCRBY', FILE_BYTES, whose, -counted) <= 0 then redis.call('HDEL', FILE_BYTES, whose) end
end
return there
