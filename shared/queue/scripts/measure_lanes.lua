-- Measure how full lanes are.
-- KEYS lane…
-- → for each: entries, bytes (of the stream, estimated from a few of its nodes, and of the images beside it), age of the
--   oldest entry (ms, 0 where there is none)
-- Reads only.
local measured = {}
for n, lane in ipairs(KEYS) do
  local oldest, age = redis.call('XRANGE', lane, '-', '+', 'COUNT', 1)[1], 0
  if oldest then age = math.max(0, math.floor(tonumber(now) / 1000) - tonumber(string.match(oldest[1], '^%d+'))) end
  local bytes = (redis.call('MEMORY', 'USAGE', lane, 'SAMPLES', 5) or 0) + (redis.call('HGET', IMAGE_BYTES, lane) or 0)
  measured[n] = {redis.call('XLEN', lane), bytes, age}
end
return measured
