-- Look for leases that have lapsed; take nothing away. ARGV: limit.
-- Returns token, message, deliveries for each, the longest lapsed first.

local found = {}
for _, queue in ipairs(call('SMEMBERS', QUEUES)) do
  local entries = call('ZRANGEBYSCORE', leases_of(queue), '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  for at = 1, #entries, 2 do
    local m = leased(entries[at])
    if m then
      found[#found + 1] = m
    else -- Celery's workers took the message back after their own visibility timeout
      call('ZREM', leases_of(queue), entries[at])
    end
  end
end
table.sort(found, function(a, b)
  return a.till < b.till or a.till == b.till and a.fence < b.fence
end)
local out = {}
for at = 1, math.min(#found, tonumber(ARGV[4])) do
  out[#out + 1] = found[at].token
  out[#out + 1] = raw_of(found[at])
  out[#out + 1] = tostring(found[at].deliveries)
end
return out
