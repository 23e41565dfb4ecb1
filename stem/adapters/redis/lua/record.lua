-- Write records. ARGV: which kind of write; a JSON array of such writes.

local kinds = { add = add_record, start = start, release = release, retry = retry, finish = finish }
local write_one = kinds[ARGV[4]]
local answers, all = {}, cjson.decode(ARGV[5])
block = #all
for index, told in ipairs(all) do answers[index] = write_one(told) and 1 or 0 end
return answers
