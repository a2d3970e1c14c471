-- A worker answers a bell: if its token is the ringing bell's, or no bell rings. The token '' stands for a tick.
-- The bell is deleted before anything is read, so that whatever arrives later rings again.
-- KEYS bell rotation  ARGV token|''  → bulk lanes in rotation | nil another bell rings, whose task does the work
-- Safe twice: a bell that was deleted early rings again with the next submit; until then workers poll.
local token = redis.call('GET', KEYS[1])
if token and ARGV[1] ~= '' and token ~= ARGV[1] then return nil end
redis.call('DEL', KEYS[1])
return redis.call('LLEN', KEYS[2])
