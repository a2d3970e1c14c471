-- What is left of a key's limits, asked before a large body is read.
-- KEYS rate|'' inflight  ARGV interval_us burst inflight_cap|''
-- → wait_us (0: one may come now) left|-1 until_all_us unfinished_left|-1
-- Reads only.
local allowance = KEYS[1] ~= '' and allowance_of(KEYS[1], ARGV[1], ARGV[2])
local wait, left, until_all = 0, -1, 0
if allowance then
  wait = math.max(0, math.ceil(allowance.wait()))
  left, until_all = allowance.keep()
end
local cap = tonumber(ARGV[3])
return {wait, left, until_all, cap and math.max(0, cap - redis.call('ZCARD', KEYS[2])) or -1}
