-- Return live revocations: id, end, order for each. ARGV: a JSON array of ids; or '', the id after
-- which to go on ('' to begin) and how many, in the order of ids.

local ends, orders, names = OWN .. 'revoked.until', OWN .. 'revocations', OWN .. 'revoked'
local out = {}

local function show(id)
  local till = call('ZSCORE', ends, id)
  if till and tonumber(till) > NOW then
    out[#out + 1] = id
    out[#out + 1] = int(tonumber(till))
    out[#out + 1] = call('HGET', orders, id)
  end
end

if ARGV[4] ~= '' then
  for _, id in ipairs(cjson.decode(ARGV[4])) do show(id) end
  return out
end
local after, limit = ARGV[5] == '' and '-' or '(' .. ARGV[5], tonumber(ARGV[6])
while #out < limit * 3 do
  local ids = call('ZRANGEBYLEX', names, after, '+', 'LIMIT', 0, limit)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    if #out < limit * 3 then show(id) end
  end
  after = '(' .. ids[#ids]
end
return out
