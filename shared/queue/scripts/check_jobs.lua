-- Check at one instant that each job is as the invariants say.
-- ARGV budget_bytes id…  → how many were checked (images that are read count against the budget),
-- then for each: id, state ('' where the hash is missing), ttl_ms, output, what is wrong ('' where nothing is)
-- Reads only.
local heads, places, spent = {}, {}, 0

local function after(one, other)
  local ms, sequence = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(sequence) > tonumber(other_sequence)
end

local function last_delivered(lane)
  if not heads[lane] then
    heads[lane] = '0-0'
    for _, flat in ipairs(redis.call('XINFO', 'GROUPS', lane)) do
      local group = {}
      for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
      if group.name == WORKERS then heads[lane] = group['last-delivered-id'] end
    end
  end
  return heads[lane]
end

-- Many jobs share an entry: each is read once.
local function wrong_with_entry(lane, entry)
  local place = lane .. ' ' .. entry
  if places[place] == nil then
    places[place] = ''
    local found = redis.call('XRANGE', lane, entry, entry)[1]
    if not found then
      places[place] = 'its entry is not in its lane'
    else
      for _, part in ipairs(found[2]) do spent = spent + #part end
      if not has_image(lane, entry, found[2]) then places[place] = 'its image is gone' end
      if not after(entry, last_delivered(lane)) and not redis.call('XPENDING', lane, WORKERS, entry, entry, 1)[1] then
        places[place] = 'its entry was read and is pending with nobody'
      end
    end
  end
  return places[place]
end

local function wrong_with(id, lane, waiting, entry)
  if not lane or not waiting or not entry then return 'it is unfinished and has no lane, wait list or entry' end
  local list = wait_list(waiting, entry)
  if not list then return 'its wait list is gone' end
  if not redis.call('LPOS', list, id) then return 'its wait list does not name it' end
  return wrong_with_entry(lane, entry)
end

local checked = {0}
for i = 2, #ARGV do
  local id = ARGV[i]
  local job = redis.call('HMGET', JOB .. id, 'state', 'lane', 'waiting', 'entry', 'output')
  local wrong = ''
  if job[1] and not TERMINAL[job[1]] then wrong = wrong_with(id, job[2], job[3], job[4]) end
  checked[1] = checked[1] + 1
  for _, fact in ipairs({id, job[1] or '', redis.call('PTTL', JOB .. id), job[5] or '', wrong}) do
    checked[#checked + 1] = fact
  end
  if spent > tonumber(ARGV[1]) then break end
end
return checked
