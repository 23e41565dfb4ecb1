-- Delete records of tasks that have ended. ARGV: '' and a JSON array of ids, or a limit to take so
-- many whose time to live has passed.

local gone = 0
local ids
if ARGV[4] == '' then
  ids = cjson.decode(ARGV[5])
else
  ids = call('ZRANGEBYSCORE', EXPIRY, '-inf', NOW, 'LIMIT', 0, ARGV[4])
end
for _, id in ipairs(ids) do
  local record = look_up(id)
  if record and ENDED[record.state] then
    delete_record(record)
    gone = gone + 1
  elseif not record then
    call('ZREM', EXPIRY, id)
  end
end
return gone
