-- A bulk upload has been read whole: its total is final, and is recorded.
-- KEYS batch  ARGV id items_sent request record_task  → closed | again state | missing | lost total (nothing written)
-- Safe twice: the second time it is not validating. `lost`: Redis restarted without its last writes.
local batch = redis.call('HMGET', KEYS[1], 'state', 'total', 'owner', 'created')
if not batch[1] then return {'missing'} end
if batch[1] ~= 'validating' then return {'again', batch[1]} end
if batch[2] ~= ARGV[2] then return {'lost', batch[2]} end
redis.call('HSET', KEYS[1], 'state', 'in_progress', 'request', ARGV[3])
redis.call('ZREM', UPLOADS, ARGV[1])
record_batch(ARGV[1], KEYS[1], ARGV[4])
return {'closed'}
