-- Remove a heartbeat. ARGV: worker; boot.

local kept = call('HGET', OWN .. 'workers', ARGV[4])
if kept and string.match(kept, '^[^\n]*') == ARGV[5] then
  call('HDEL', OWN .. 'workers', ARGV[4])
  call('ZREM', OWN .. 'workers.until', ARGV[4])
end
return 0
