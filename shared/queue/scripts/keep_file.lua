-- Keep an uploaded file if its owner's quota, the room for all files and the owner's rate of bytes allow it. Without
-- fields, only check whether they do, before a body is read.
-- KEYS file files_of_owner rate
-- ARGV owner id created_us expires_us bytes max_files max_bytes max_bytes_of_all|'' us_for_1000_bytes ahead_us, then (field value)…
-- → kept | again | files used until_us | bytes used until_us | room used | fast wait_us
--   `until_us`: when the owner's oldest file expires, microseconds since 1970.
-- Safe twice: the first line. All writes come after the last refusal; the sums change in one step with the file.
local FILE, FILES_OF_OWNER, RATE, OWNER, ID = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local bytes = tonumber(ARGV[5])
if redis.call('EXISTS', FILE) == 1 then return {'again'} end

local function until_oldest_expires()
  local oldest = redis.call('ZRANGE', FILES_OF_OWNER, 0, 0)[1]
  return oldest and redis.call('HGET', FILE_OF .. oldest, 'expires') or now
end

local files = redis.call('ZCARD', FILES_OF_OWNER)
if files >= tonumber(ARGV[6]) then return {'files', files, until_oldest_expires()} end
local used = tonumber(redis.call('HGET', FILE_BYTES, OWNER) or 0)
if used + bytes > tonumber(ARGV[7]) then return {'bytes', used, until_oldest_expires()} end
local of_all = tonumber(redis.call('HGET', FILE_BYTES, '') or 0)
if ARGV[8] ~= '' and of_all + bytes > tonumber(ARGV[8]) then return {'room', of_all} end
local at = math.max(tonumber(redis.call('GET', RATE) or 0), tonumber(now))
local wait = at - tonumber(now) - tonumber(ARGV[10])
if wait > 0 then return {'fast', string.format('%.0f', wait)} end
if #ARGV == 10 then return {'kept'} end

redis.call('HSET', FILE, 'counted', bytes, unpack(ARGV, 11))
redis.call('ZADD', FILES, ARGV[4], ID .. ' ' .. OWNER)
redis.call('ZADD', FILES_OF_OWNER, ARGV[3], ID)
redis.call('HINCRBY', FILE_BYTES, OWNER, bytes)
redis.call('HINCRBY', FILE_BYTES, '', bytes)
at = at + bytes * tonumber(ARGV[9]) / 1000
redis.call('SET', RATE, string.format('%.0f', at), 'PX', math.max(1, math.ceil((at - tonumber(now)) / 1000)))
return {'kept'}
