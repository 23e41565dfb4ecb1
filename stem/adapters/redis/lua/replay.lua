-- Put dead letters back. ARGV: visibility timeout in seconds; a JSON array of
-- [entry, queue, priority, due, task id, raw, generation]. Returns the time and which were put back.

local answers = {}
for index, told in ipairs(cjson.decode(ARGV[5])) do
  local entry, queue, priority, due, id, raw, generation = unpack(told)
  local gone_on = tonumber(call('HGET', key_of(id), 'generation') or '0') >= tonumber(generation)
  local possible = not gone_on and call('ZSCORE', DEAD, entry) and call('HEXISTS', LIVE, id) == 0
  if possible then
    wait(queue, new_message(raw, priority, id), moment(due), tonumber(ARGV[4]), false)
    replay_record(id, generation)
    call('HSET', REPLAYED, entry, int(NOW))
    call('ZREM', DEAD, entry)
    call('ZREM', OWN .. 'dead:' .. queue, entry)
  end
  answers[index] = possible and 1 or 0
end
return { int(NOW), answers }
