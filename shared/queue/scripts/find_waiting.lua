-- Find the models whose lanes hold entries, leased or not.
-- KEYS interactive lane and rotation of each model…  → their places among the models, from 1
-- Reads only.
local waiting = {}
for place = 1, #KEYS / 2 do
  local lane, rotation = KEYS[2 * place - 1], KEYS[2 * place]
  if redis.call('XLEN', lane) > 0 or redis.call('EXISTS', rotation) == 1 then waiting[#waiting + 1] = place end
end
return waiting
