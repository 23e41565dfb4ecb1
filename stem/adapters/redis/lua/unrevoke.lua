-- Remove revocations. ARGV: a JSON array of ids, live ones alone are counted; or '' and how many
-- expired ones to remove.

local ends, orders, names = OWN .. 'revoked.until', OWN .. 'revocations', OWN .. 'revoked'
local gone = 0
local pruning = ARGV[4] == ''
local ids = pruning and call('ZRANGEBYSCORE', ends, '-inf', NOW, 'LIMIT', 0, ARGV[5]) or cjson.decode(ARGV[4])
for _, id in ipairs(ids) do
  local till = tonumber(call('ZSCORE', ends, id) or '0')
  if pruning or till > NOW then
    gone = gone + call('ZREM', ends, id)
    call('HDEL', orders, id)
    call('ZREM', names, id)
  end
end
return gone
