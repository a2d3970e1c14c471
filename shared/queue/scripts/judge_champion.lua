-- A worker serves a version as champion. Counts its results on trial, which is the first minutes as champion, over all
-- workers; where more of the last ones are errors than the limit allows, the champion before it is to serve again.
-- KEYS champion  ARGV version worker number results error limit trial_us most least
-- `results` has an `s` or an `f` for each success or error since the worker's last call, and `number` grows with each
-- call that has some. `limit` is in per cent, or empty: none.
-- → the champion before ('' none), why the version failed ('' it did not), microseconds that are left of the trial
-- Safe twice: results with a number that was counted are not counted again, and a verdict is final for this version as
-- champion. Another version begins anew; the champion before it is the last one that did not fail.
allow_writes()
local version, worker, number = ARGV[1], 'number:' .. ARGV[2], tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'version', 'before', 'since', 'reason', 'results', 'error', worker)
if known[1] ~= version then
  local before = known[4] and known[2] or known[1] or ''
  if before == version then before = '' end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'version', version, 'before', before, 'since', now)
  known = {version, before, now, false, false, false, false}
end
local before, reason, left = known[2], known[4] or '', known[3] + ARGV[7] - now
if reason == '' and left > 0 and number > tonumber(known[7] or 0) then
  local results = string.sub((known[5] or '') .. ARGV[4], -ARGV[8])
  local error = ARGV[5] ~= '' and ARGV[5] or known[6] or ''
  redis.call('HSET', KEYS[1], 'results', results, 'error', error, worker, number)
  local failed = select(2, string.gsub(results, 'f', ''))
  if ARGV[6] ~= '' and before ~= '' and #results >= tonumber(ARGV[9]) and failed * 100 > ARGV[6] * #results then
    reason = failed .. ' of the last ' .. #results .. ' images failed: ' .. error
    redis.call('HSET', KEYS[1], 'reason', reason)
  end
end
return {before, reason, math.max(0, left)}
