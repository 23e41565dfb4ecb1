-- Lease ready messages. ARGV: what tokens begin with, '<owner>/<nonce>.'; limit; duration in
-- microseconds; the number of this call; '1' if its reply was lost before; the queues, first ones first.
--
-- A call whose reply was lost is asked again under its number and gets the same messages again.

local prefix, limit, duration, number = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local memory = OWN .. 'call:' .. prefix
local till = NOW + duration
local out = {}

-- A sound message is given with its facts: to a reader they are one more member, which means nothing.
local function give(token, m, fence, raw)
  out[#out + 1] = token
  out[#out + 1] = m.sound and raw or raw_of(m)
  out[#out + 1] = tostring(m.deliveries)
  out[#out + 1] = int(fence)
end

if ARGV[8] == '1' then
  local known = call('GET', memory)
  local before = known and cjson.decode(known)
  if before and before[1] == number then
    for index = 2, #before do
      local m, lapsed = leased(before[index])
      if m and not lapsed then
        call('ZADD', leases_of(m.queue), till, m.token)
        give(m.token, m, m.fence)
      end
    end
    return out
  end
end

-- Every key that is written below is read first: of another type, it must fail before a message has
-- left its list, since a script is not rolled back.
call('HLEN', UNACKED)
call('ZCARD', UNACKED_INDEX)
call('SCARD', QUEUES)
call('HLEN', LIVE)
call('GET', VERSION)

-- More than are asked for: the one that is due last may be the most urgent.
local function promote(queue)
  for _, token in ipairs(call('ZRANGEBYSCORE', delayed_of(queue), '-inf', NOW, 'LIMIT', 0, limit + 500)) do
    local m = undelay(queue, token)
    if m then place(queue, m, false) end
  end
end

local function lease(queue)
  local taken, held, index, leases, live = {}, {}, {}, {}, {}
  call('ZCARD', leases_of(queue))
  promote(queue)
  for at = #STEPS, 1, -1 do
    local step = STEPS[at]
    local raws = limit > 0 and call('RPOP', list_of(queue, step), limit) or {}
    limit = limit - #raws
    block = math.max(#raws, 1)
    for _, raw in ipairs(raws) do
      local m = read(raw, step)
      local fence = tick()
      local token = prefix .. int(fence) .. '/' .. queue
      m.deliveries = m.deliveries + 1
      taken[#taken + 1] = token
      held[#held + 1] = token
      held[#held + 1] = held_form(m, queue)
      leases[#leases + 1] = till
      leases[#leases + 1] = token
      if m.sound then
        index[#index + 1] = NOW / 1000000
        index[#index + 1] = token
      end
      if m.own == '1' and m.id ~= '' then
        live[#live + 1] = m.id
        live[#live + 1] = 'leased'
      end
      give(token, m, fence, raw)
    end
  end
  if #taken > 0 then
    call('SADD', QUEUES, queue)
    in_chunks('HSET', UNACKED, held)
    in_chunks('ZADD', UNACKED_INDEX, index)
    in_chunks('ZADD', leases_of(queue), leases)
    in_chunks('HSET', LIVE, live)
  end
  return taken
end

local tokens, seen = { number }, {}
for position = 9, #ARGV do
  local queue = ARGV[position]
  if limit > 0 and not seen[queue] and call('SISMEMBER', PAUSED, queue) == 0 then
    for _, token in ipairs(lease(queue)) do tokens[#tokens + 1] = token end
  end
  seen[queue] = true
end
if #tokens > 1 then call('SET', memory, cjson.encode(tokens), 'PX', math.ceil(duration / 1000)) end
return out
