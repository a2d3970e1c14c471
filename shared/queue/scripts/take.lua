-- Take one of a key's rate, for a request that is no job.
-- KEYS rate
-- ARGV interval_us burst
-- → wait_us (0: taken) left until_all_us
-- Twice takes two.
local allowance = allowance_of(KEYS[1], ARGV[1], ARGV[2])
local wait = math.max(0, math.ceil(allowance.wait()))
if wait == 0 then allowance.take() end
return {wait, allowance.keep()}
