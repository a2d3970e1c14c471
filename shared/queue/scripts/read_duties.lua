-- How the roles besides predicting are: record, webhooks, upkeep.
-- KEYS signs of record, webhooks, upkeep, their Celery queues in the same order, finished, started
-- → for each of the three: time since its last sign of life (ms, -1 never), Celery messages that no worker has taken,
--   how long its oldest work has waited (ms, 0 where there is none)
-- Reads only.
local now_ms = math.floor(tonumber(now) / 1000)
local function silence(signs)
  local newest = redis.call('ZREVRANGE', signs, 0, 0, 'WITHSCORES')[2]
  return newest and math.max(0, now_ms - math.floor(tonumber(newest) / 1000)) or -1
end
local function oldest(stream)
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return first and math.max(0, now_ms - tonumber(string.match(first[1], '^%d+'))) or 0
end
return {
  {silence(KEYS[1]), redis.call('LLEN', KEYS[4]), oldest(KEYS[7])},
  {silence(KEYS[2]), redis.call('LLEN', KEYS[5]), oldest(KEYS[8])},
  {silence(KEYS[3]), redis.call('LLEN', KEYS[6]), 0},
}
