-- A worker answers a bell: the one whose token is the bell's, or any where it has stopped ringing; '' is no bell but a tick.
-- The bell goes before anything is read, so nothing that arrives later is missed.
-- KEYS bell rotation  ARGV token|''  → how many bulk lanes wait for their turn | nil somebody else will
-- Safe twice: a bell deleted early rings again with the next submit, or is made up for by the tick.
local token = redis.call('GET', KEYS[1])
if token and ARGV[1] ~= '' and token ~= ARGV[1] then return nil end
redis.call('DEL', KEYS[1])
return redis.call('LLEN', KEYS[2])
