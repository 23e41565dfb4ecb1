-- Renew leases. ARGV: duration in microseconds; the tokens. Returns those that are lost.

local lost = {}
for position = 5, #ARGV do
  local token = ARGV[position]
  local _, queue = fence_and_queue(token)
  local till = queue and call('ZSCORE', leases_of(queue), token)
  if till and tonumber(till) > NOW and call('HEXISTS', UNACKED, token) == 1 then
    call('ZADD', leases_of(queue), 'XX', NOW + ARGV[4], token)
    call('ZADD', UNACKED_INDEX, 'XX', NOW / 1000000, token)
  else
    lost[#lost + 1] = token
  end
end
return lost
