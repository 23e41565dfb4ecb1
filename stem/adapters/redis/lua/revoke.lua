-- Keep revocations. ARGV: a JSON array of ids; time to live in microseconds; '1' to terminate; the
-- rest of a revocation as members of a JSON object.
-- The first order's reason counts, the later end, and that to terminate.

local ends, orders, names = OWN .. 'revoked.until', OWN .. 'revocations', OWN .. 'revoked'
for _, id in ipairs(cjson.decode(ARGV[4])) do
  local till = NOW + ARGV[5]
  local terminate, told = ARGV[6], int(NOW) .. ',' .. ARGV[7]
  local before = tonumber(call('ZSCORE', ends, id) or '0')
  local order = before > NOW and call('HGET', orders, id)
  if order then
    till = math.max(till, before)
    terminate = (terminate == '1' or string.sub(order, 1, 1) == '1') and '1' or '0'
    told = string.sub(order, 3)
  end
  call('ZADD', ends, till, id)
  call('HSET', orders, id, terminate .. ',' .. told)
  call('ZADD', names, 0, id)
end
return 0
