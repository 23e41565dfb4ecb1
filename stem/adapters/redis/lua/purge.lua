-- Remove waiting messages. ARGV: queue; how many at most; why; Celery's result without its end.

local queue, limit, reason, meta = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local removed = 0
call('ZREM', EXPIRY, '') -- as in settling: purging makes space

local function remove(m)
  end_life(m)
  cancel_record(id_of(m), reason, meta)
  removed = removed + 1
end

for _, step in ipairs(STEPS) do
  local left = limit - removed
  for _, raw in ipairs(left > 0 and call('RPOP', list_of(queue, step), left) or {}) do remove(read(raw, step)) end
end
if removed < limit then
  for _, token in ipairs(call('ZRANGE', delayed_of(queue), 0, limit - removed - 1)) do
    local m = undelay(queue, token)
    if m then remove(m) end
  end
end
return removed
