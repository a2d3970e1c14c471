-- Lease entries of a shadow's lane, while nobody waits: no image of these models is unread, and at most half of the model's
-- workers, this one included, or one, are busy with images or shadows. First one whose lease has ended; alone, because it
-- may have ended its worker. One delivered max_attempts times is dropped, with a failed result.
-- KEYS shadow's lane, its results, workers of its model, then (interactive lane, rotation) of each model served here
-- ARGV consumer count idle_ms max_attempts seen_us model results_cap → (entry attempts fields)…
-- Safe twice: what the first call leased is pending until its lease ends.
local SHADOW, RESULTS, SERVING = unpack(KEYS, 1, 3)
local ME, COUNT, IDLE, MOST, SEEN, MODEL, RESULTS_CAP = unpack(ARGV)
local MOST_BULK_LANES = 20
if redis.call('XLEN', SHADOW) == 0 then return {} end

local busy, working = {[ME] = true}, 1
-- Count the workers that have entries of a stream leased; return how many entries are leased.
local function leased(stream)
  local entries, _, _, consumers = unpack(redis.call('XPENDING', stream, WORKERS))
  for _, one in ipairs(consumers or {}) do
    if not busy[one[1]] then busy[one[1]], working = true, working + 1 end
  end
  return entries
end
local function waits(lane)
  local entries = redis.call('XLEN', lane)
  return entries > 0 and entries > leased(lane)
end
for place = 4, #KEYS, 2 do
  local bulk = redis.call('LRANGE', KEYS[place + 1], 0, MOST_BULK_LANES)
  if #bulk > MOST_BULK_LANES or waits(KEYS[place]) then return {} end
  for _, lane in ipairs(bulk) do
    if waits(lane) then return {} end
  end
end
local overdue = redis.call('XPENDING', SHADOW, WORKERS, 'IDLE', IDLE, '-', '+', 10)
-- Where a lease has ended its worker is gone, and must not count as busy until somebody takes its entry over.
if not overdue[1] then leased(SHADOW) end
local live = redis.call('ZCOUNT', SERVING, string.format('%.0f', now - SEEN), '+inf')
if working > math.max(1, math.floor(live / 2)) then return {} end

allow_writes()
for _, pending in ipairs(overdue) do
  local entry, attempts = pending[1], pending[4]
  local found = redis.call('XRANGE', SHADOW, entry, entry)[1]
  if not found then
    redis.call('XACK', SHADOW, WORKERS, entry)
  elseif not has_image(SHADOW, entry, found[2]) then
    drop(SHADOW, entry)
  elseif attempts >= tonumber(MOST) then
    local fields = {}
    for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
    if redis.call('XLEN', RESULTS) < tonumber(RESULTS_CAP) then
      redis.call('XADD', RESULTS, '*', 'prediction', fields.prediction, 'model', MODEL, 'version', fields.version,
        'key', fields.key, 'state', 'failed', 'output', '', 'code', 'worker_lost', 'agrees', '', 'predict_ms', '',
        'created', now, 'error', 'the worker ended while computing this image, ' .. attempts .. ' times')
    end
    drop(SHADOW, entry)
  else
    redis.call('XCLAIM', SHADOW, WORKERS, ME, 0, entry)
    return {entry, attempts + 1, found[2]}
  end
end
local read = redis.call('XREADGROUP', 'GROUP', WORKERS, ME, 'COUNT', COUNT, 'STREAMS', SHADOW, '>')
local taken = {}
for _, entry in ipairs(read and read[1][2] or {}) do
  taken[#taken + 1], taken[#taken + 2], taken[#taken + 3] = entry[1], 1, entry[2]
end
return taken
