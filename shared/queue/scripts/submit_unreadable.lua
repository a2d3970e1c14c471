-- Accept an item of a batch that is no image: a job that has failed already.
-- KEYS job batch  ARGV id owner batch request error code record_task  → again id | closed id | failed id
-- Safe twice: the first line.
local id = ARGV[1]
if redis.call('EXISTS', KEYS[1]) == 1 then return {'again', id} end
if redis.call('HGET', KEYS[2], 'state') ~= 'validating' then return {'closed', id} end
redis.call('HINCRBY', KEYS[2], 'total', 1)
redis.call('HSET', KEYS[1], 'state', 'starting', 'owner', ARGV[2], 'batch', ARGV[3], 'request', ARGV[4], 'created', now)
put(id, 'failed', {error = ARGV[5], code = ARGV[6]})
announce(ARGV[7])
return {'failed', id}
