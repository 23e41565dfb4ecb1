-- Count messages. ARGV: the queues. Returns for each: ready, delayed, leased, dead, 1 if paused, and
-- since when the oldest ready message waits, '' when none is ready or none tells.

local out = {}
for position = 4, #ARGV do
  local queue = ARGV[position]
  local due = call('ZRANGEBYSCORE', delayed_of(queue), '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, 1)
  local since = tonumber(due[2])
  local ready = call('ZCOUNT', delayed_of(queue), '-inf', NOW)
  for _, step in ipairs(STEPS) do
    local list = list_of(queue, step)
    local head = peek(list, -1, step)
    ready = ready + call('LLEN', list)
    if head and head.since then since = math.min(since or head.since, head.since) end
  end
  out[#out + 1] = {
    ready,
    call('ZCARD', delayed_of(queue)) - call('ZCOUNT', delayed_of(queue), '-inf', NOW),
    call('ZCARD', leases_of(queue)),
    call('ZCARD', OWN .. 'dead:' .. queue),
    call('SISMEMBER', PAUSED, queue),
    since and int(since) or '',
  }
end
return { int(NOW), out }
