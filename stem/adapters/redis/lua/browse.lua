-- List messages that wait in one of a queue's lists, or are delayed or leased.
-- ARGV: queue; 'leased', 'delayed' or a step; where to begin; how many; for delayed ones the earliest
-- moment at which they are due.
-- Returns for each: raw, token, since, when it is due or its lease lapses, rank, priority, deliveries,
-- 1 if due. In a list the first is the next to be leased, and messages that were never in Stem's
-- hands have neither since nor rank. An entry is empty when its message is gone.

local queue, place_name, first, count = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local out = {}

local function show(m, token, score)
  local due = place_name == 'delayed' and tonumber(score) <= NOW and 1 or 0
  out[#out + 1] = {
    raw_of(m), token, m.rank and int(m.since) or '', score, m.rank and int(m.rank) or '', m.priority, m.deliveries, due,
  }
end

local function show_set(entries)
  for at = 1, #entries, 2 do
    local value = call('HGET', UNACKED, entries[at])
    if value then show(from_held(value, queue), entries[at], int(tonumber(entries[at + 1])))
    else out[#out + 1] = {} end
  end
end

if place_name == 'leased' then
  show_set(call('ZRANGE', leases_of(queue), first, first + count - 1, 'WITHSCORES'))
elseif place_name == 'delayed' then
  show_set(call('ZRANGEBYSCORE', delayed_of(queue), ARGV[8], '+inf', 'WITHSCORES', 'LIMIT', first, count))
else
  local step = tonumber(place_name)
  local raws = call('LRANGE', list_of(queue, step), -first - count, -first - 1)
  for at = #raws, 1, -1 do show(read(raws[at], step), '', '0') end
end
return out
