-- Publish messages. ARGV: visibility timeout in seconds; a JSON array of publications.

local answers = {}
for index, new in ipairs(cjson.decode(ARGV[5])) do
  answers[index] = publish(new, tonumber(ARGV[4])) and 1 or 0
end
return answers
