-- Read what all processes say about themselves, and since when alerts have held.
-- KEYS index of processes, alerts  ARGV what the key of a process' figures begins with
-- → Redis' clock (µs), alerts (JSON or false), {time since it was published (ms), figures (JSON), …}
-- Reads only.
local found, seen = {}, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for n = 1, #seen, 2 do
  local figures = redis.call('GET', ARGV[1] .. seen[n])
  if figures then
    found[#found + 1] = math.max(0, math.floor((tonumber(now) - tonumber(seen[n + 1])) / 1000))
    found[#found + 1] = figures
  end
end
return {now, redis.call('GET', KEYS[2]), found}
