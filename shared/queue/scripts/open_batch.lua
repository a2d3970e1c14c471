-- Begin a bulk upload: from now on its items are accepted, and its gateway must give signs of life or it is canceled.
-- KEYS batch idempotency|'' batches  ARGV id owner request lane fingerprint
-- → opened id | again id | reading id | known id | mismatch id
-- Safe twice: the first line.
local id = ARGV[1]
if redis.call('EXISTS', KEYS[1]) == 1 then return {'again', id} end
if KEYS[2] ~= '' then
  local first = redis.call('GET', KEYS[2])
  if first then
    local first_id, fingerprint = string.match(first, '^(%S+) (.*)$')
    if fingerprint ~= ARGV[5] then return {'mismatch', first_id} end
    return {redis.call('HGET', BATCH .. first_id, 'state') == 'validating' and 'reading' or 'known', first_id}
  end
  redis.call('SET', KEYS[2], id .. ' ' .. ARGV[5])
  redis.call('ZADD', IDEMPOTENCY_KEYS, now, KEYS[2])
end
redis.call('HSET', KEYS[1], 'state', 'validating', 'owner', ARGV[2], 'request', ARGV[3], 'lane', ARGV[4],
  'idempotency', KEYS[2], 'created', now, 'total', 0)
redis.call('ZADD', UPLOADS, now, id)
redis.call('ZADD', KEYS[3], now, id)
return {'opened', id}
