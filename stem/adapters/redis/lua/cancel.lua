-- Remove waiting messages of some tasks. ARGV: a JSON object: ids, reason, meta (Celery's result
-- without its end) and, to look through a list, its queue, step and the position to begin at.
-- Returns the ids removed; without a list also where to look for others: id, step and queue;
-- with one how many messages were looked at.

local asked = cjson.decode(ARGV[4])
local removed, elsewhere = {}, {}

local function remove(m)
  end_life(m)
  cancel_record(m.id, asked.reason, asked.meta)
  removed[#removed + 1] = m.id
end

call('ZREM', EXPIRY, '') -- as in settling
if not asked.queue then
  for _, id in ipairs(asked.ids) do
    local place = call('HGET', LIVE, id)
    local queue = place and string.match(place, '^delayed/%d+/(.*)$')
    if queue then
      local m = undelay(queue, place)
      if m then remove(m) else elsewhere[#elsewhere + 1] = { id, '0', queue } end
    elseif place and place ~= 'leased' then
      elsewhere[#elsewhere + 1] = { id, string.match(place, '^(%d) (.*)$') }
    end
  end
  return { removed, elsewhere }
end

local wanted = {}
for _, id in ipairs(asked.ids) do wanted[id] = true end
local list = list_of(asked.queue, asked.step)
local raws = call('LRANGE', list, asked.first, asked.first + asked.count - 1)
for _, raw in ipairs(raws) do
  local m = facts_of(raw)
  if m and m.own == '1' and wanted[m.id] then
    call('LREM', list, 1, raw)
    remove(m)
  end
end
return { removed, #raws }
