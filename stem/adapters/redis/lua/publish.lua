-- Publish messages. ARGV: visibility timeout in seconds; a JSON array of publications.

local answers, all = {}, cjson.decode(ARGV[5])
block = 3 * #all
for index, new in ipairs(all) do
  answers[index] = publish(new, tonumber(ARGV[4])) and 1 or 0
end
return answers
