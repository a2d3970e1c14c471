-- End the turn to change a model, if it is still this one: another worker may have it once its time is over.
-- KEYS turn  ARGV token → 1 ended | 0 another's, or over
-- Safe twice.
allow_writes()
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
