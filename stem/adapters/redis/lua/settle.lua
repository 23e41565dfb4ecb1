-- Settle deliveries and write their records. ARGV: visibility timeout in seconds; a JSON array of
-- settlements, each [kind, token, …].

local visible = tonumber(ARGV[4])

local kinds = {}

-- ending or false, successors
function kinds.complete(m, told)
  if told[3] then finish(told[3]) end
  for _, new in ipairs(told[4]) do publish(new, visible) end
  end_life(m)
end

-- due, 1 if counted
function kinds.release(m, told)
  if told[4] == 0 then m.deliveries = m.deliveries - 1 end
  release_record(id_of(m), m.fence)
  wait(m.queue, m, moment(told[3]), visible, true)
end

-- due, raw, retry note or false
function kinds.reschedule(m, told)
  if told[5] then
    told[5][1][5] = tostring(m.deliveries)
    retry(told[5])
  end
  local next = new_message(told[4], m.priority, m.id)
  next.own = m.own
  wait(m.queue, next, moment(told[3]), visible, false)
end

-- the dead letter without its end, ending or false
function kinds.bury(m, told)
  bury(m, told[3])
  if told[4] then finish(told[4]) end
  end_life(m)
end

-- Nothing is removed by this, but after a first write that needs no memory a script may go on in a
-- server that is full: settling is what makes space.
call('ZREM', EXPIRY, '')

local answers, orders = {}, cjson.decode(ARGV[5])
block = 3 * #orders
for index, told in ipairs(orders) do
  local m, lapsed = leased(told[2])
  local held = m and not lapsed
  if held then
    kinds[told[1]](m, told)
    let_go(m)
  end
  answers[index] = held and 1 or 0
end
let_all_go()
return answers
