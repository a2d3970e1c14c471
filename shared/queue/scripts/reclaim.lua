-- Take over one entry whose worker did not renew its lease. Entries are claimed only here, and one at a time: claiming
-- many would raise the delivery counts of innocent ones. Jobs of an entry delivered max_attempts times fail: worker_lost.
-- So do those of an entry whose image is gone, which only somebody else's command or an eviction policy can do.
-- KEYS lane  ARGV record_task consumer idle_ms max_attempts failed_ttl_ms failed_bytes  → entry attempts fields | nil
-- Safe twice: each call acts only on entries idle past the lease.
allow_writes()
if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
local claimed = nil
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], WORKERS, 'IDLE', ARGV[3], '-', '+', 10)) do
  local entry, attempts = pending[1], pending[4]
  local found = redis.call('XRANGE', KEYS[1], entry, entry)[1]
  if not found then
    redis.call('XACK', KEYS[1], WORKERS, entry)
  elseif attempts >= tonumber(ARGV[4]) or not has_image(KEYS[1], entry, found[2]) then
    local fields = {}
    for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
    local key, list = wait_list(fields.waiting, entry)
    if key then
      local reason = 'the worker ended while computing this image, ' .. attempts .. ' times'
      if attempts < tonumber(ARGV[4]) then reason = 'the image is no longer in Redis' end
      local result = {error = reason, code = 'worker_lost', attempts = attempts}
      for place = 2, #list do put(list[place], 'failed', result) end
      if list[2] then keep_failed(list[2], fields.waiting, KEYS[1], entry, ARGV[5], ARGV[6]) end
      redis.call('DEL', key)
    end
    drop(KEYS[1], entry)
  else
    redis.call('XCLAIM', KEYS[1], WORKERS, ARGV[2], 0, entry)
    claimed = {entry, attempts + 1, found[2]}
    break
  end
end
announce(ARGV[1])
return claimed
