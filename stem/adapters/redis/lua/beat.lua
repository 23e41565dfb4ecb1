-- Keep a heartbeat. ARGV: worker; boot; time to live in microseconds; the heartbeat.

local beats, ends = OWN .. 'workers', OWN .. 'workers.until'
local dead_from = call('ZSCORE', ends, ARGV[4])
if dead_from and tonumber(dead_from) > NOW then
  local kept = call('HGET', beats, ARGV[4])
  if kept and string.match(kept, '^[^\n]*') ~= ARGV[5] then return 0 end
end
for _, worker in ipairs(call('ZRANGEBYSCORE', ends, '-inf', NOW, 'LIMIT', 0, 100)) do
  call('ZREM', ends, worker)
  call('HDEL', beats, worker)
end
call('HSET', beats, ARGV[4], ARGV[5] .. '\n' .. ARGV[7])
call('ZADD', ends, NOW + ARGV[6], ARGV[4])
return 1
