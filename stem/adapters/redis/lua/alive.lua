-- Return the heartbeats of live workers.

local out = {}
for _, worker in ipairs(call('ZRANGEBYSCORE', OWN .. 'workers.until', '(' .. int(NOW), '+inf')) do
  local kept = call('HGET', OWN .. 'workers', worker)
  if kept then out[#out + 1] = string.match(kept, '\n(.*)$') end
end
return out
