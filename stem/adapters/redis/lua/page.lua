-- Look for records, last written first. ARGV: a JSON object of bounds and conditions
-- (before, since: versions, the former not included; scan: how many to look at; limit;
-- queue, state, name, worker).
-- Returns where the look ended, '' at the end of the index, and id and version for each.

local asked = cjson.decode(ARGV[4])
local indexes = {}
if asked.queue then
  indexes[1] = queue_index(asked.queue)
else
  local states = { 'queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled' }
  for _, state in ipairs(asked.state and { asked.state } or states) do indexes[#indexes + 1] = state_index(state) end
end

local scan = tonumber(asked.scan)
local entries = {}
for _, index in ipairs(indexes) do
  local part = call('ZREVRANGEBYSCORE', index, '(' .. asked.before, asked.since, 'WITHSCORES', 'LIMIT', 0, scan)
  for at = 1, #part, 2 do
    entries[#entries + 1] = { id = part[at], version = tonumber(part[at + 1]), index = index }
  end
end
table.sort(entries, function(a, b) return a.version > b.version end)

local out = { '' }
for at = 1, math.min(#entries, scan) do
  local entry = entries[at]
  local got = call('HMGET', key_of(entry.id), 'queue', 'state', 'name', 'worker')
  if not got[1] then
    call('ZREM', entry.index, entry.id)
  elseif (not asked.queue or got[1] == asked.queue) and (not asked.state or got[2] == asked.state)
    and (not asked.name or got[3] == asked.name) and (not asked.worker or got[4] == asked.worker) then
    out[#out + 1] = { entry.id, int(entry.version) }
  end
  if at == scan or #out > tonumber(asked.limit) then
    out[1] = int(entry.version)
    break
  end
end
return out
