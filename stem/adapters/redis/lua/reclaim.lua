-- Take lapsed leases away. ARGV: visibility timeout in seconds; a JSON array of
-- [token, task id, false or {letter, error, detail, meta} to bury it].

local answers = {}
call('ZREM', EXPIRY, '') -- as in settling: taking back needs to work in a full server
for index, told in ipairs(cjson.decode(ARGV[5])) do
  local token, id, lost = unpack(told)
  local m, lapsed = leased(token)
  if m and lapsed then
    if lost then
      bury(m, lost.letter)
      lose_record(id, m.fence, m.deliveries, lost)
      end_life(m)
    else
      wait(m.queue, m, NOW, tonumber(ARGV[4]), true)
      reclaim_record(id, m.fence)
    end
    let_go(m)
  end
  answers[index] = m and lapsed and 1 or 0
end
let_all_go()
return answers
