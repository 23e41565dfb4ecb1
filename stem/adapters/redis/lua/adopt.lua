-- Keep dead letters of another store. ARGV: for each its id, its queue, what is known as a JSON object
-- without its end, and the message.

local answers = {}
for position = 4, #ARGV, 4 do
  local id, queue, told, raw = unpack(ARGV, position, position + 3)
  local is_new = call('ZSCORE', BURIED, id) == false
  if is_new then keep(id, queue, told, raw, tick()) end
  answers[#answers + 1] = is_new and 1 or 0
end
return answers
