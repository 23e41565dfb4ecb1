-- Delete dead letters. ARGV: '1' to spare those that were replayed; a JSON array of [entry, queue].

local gone = 0
for _, told in ipairs(cjson.decode(ARGV[5])) do
  local entry, queue = unpack(told)
  if ARGV[4] == '0' or call('ZSCORE', DEAD, entry) then
    gone = gone + call('ZREM', BURIED, entry)
    call('ZREM', DEAD, entry)
    call('ZREM', OWN .. 'dead:' .. queue, entry)
    call('HDEL', LETTERS, entry)
    call('HDEL', PAYLOADS, entry)
    call('HDEL', REPLAYED, entry)
  end
end
return gone
