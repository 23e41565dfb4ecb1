-- What every script begins with: names, the clock, and how messages are kept.
--
-- KEYS: the twelve below, with their prefix, for every script. ARGV: the time in microseconds, or ''
-- for the server's own; the prefix of kombu's names; the prefix of Stem's. A script learns only from
-- a message which queue and task it belongs to, so their keys are built from these prefixes.
--
-- Times and versions are microseconds since 1970: whole numbers below 2^53, which Lua holds exactly.

local UNACKED, UNACKED_INDEX, QUEUES, PAUSED, LIVE, VERSION = unpack(KEYS, 1, 6)
local EXPIRY, BURIED, DEAD, LETTERS, PAYLOADS, REPLAYED = unpack(KEYS, 7, 12)
local KOMBU, OWN = ARGV[2], ARGV[3]
local STEPS = {0, 3, 6, 9} -- kombu's four lists of a queue
local CHUNK = 500 -- unpack() has a limited stack
local TAILS = {160, 3300} -- bytes that hold nearly every, and every `x-stem`: an id of 255 characters, escaped

local call = redis.call

local NOW = tonumber(ARGV[1])
if not NOW then
  local time = call('TIME')
  NOW = time[1] * 1000000 + time[2]
end

local function int(number) return string.format('%.0f', number) end

-- The time, pushed forward so that no two calls ever give the same: a fence, an order, a version.
-- A script that needs many sets aside a `block` of them.
local block, last, reserved = 1, nil, 0
local function tick()
  if not last then
    last = tonumber(call('GET', VERSION) or '0')
    reserved = last
  end
  if last == reserved then
    last = math.max(NOW - 1, last)
    reserved = last + block
    call('SET', VERSION, int(reserved))
  end
  last = last + 1
  return last
end

local function in_chunks(command, key, items)
  for first = 1, #items, CHUNK do
    call(command, key, unpack(items, first, math.min(first + CHUNK - 1, #items)))
  end
end

-- When something is due: '+<microseconds from now>' or '=<moment>'.
local function moment(due)
  local number = tonumber(string.sub(due, 2))
  return string.byte(due) == 43 and NOW + number or number
end

local function step_of(priority) return STEPS[math.floor(priority / 3) + 1] end

local function list_of(queue, step)
  return step == 0 and KOMBU .. queue or KOMBU .. queue .. '\6\22' .. step
end

local function leases_of(queue) return OWN .. 'leases:' .. queue end
local function delayed_of(queue) return OWN .. 'delayed:' .. queue end

-- A token is '<owner>/<nonce>.<fence>/<queue>'.
local function fence_and_queue(token) return string.match(token, '^[^/]*/[^./]*%.(%d+)/(.*)$') end

-- Stem's facts about a message are the last member of its JSON object, `"x-stem": "<facts>"`, put
-- there and taken off by editing the text: a message is never decoded and encoded again, which would
-- change it. There Celery's own restoring keeps them, and they end with the message.
-- Garbage takes them too, behind a separator, and is no worse for it.

local FACTS = '(%d+) (%-?%d+) (%d) (%d+) ([01]) (.*)"'
local MEMBER = '^.*(), ?"x%-stem": ?"' .. FACTS .. '}$'
local SUFFIX = '^.*()\30x%-stem "' .. FACTS .. '$'

local function unquoted(text)
  return string.find(text, '\\', 1, true) and cjson.decode('"' .. text .. '"') or text
end

local function quoted(text)
  return string.find(text, '^[%w_.:@-]*$') and text or string.sub(cjson.encode(text), 2, -2)
end

-- A message: `text`, of which `first` to `final` are its own bytes, without a sound one's last brace.
-- Sound is what kombu could read, by all appearances; only that is shown to Celery's workers.
local function foreign(raw, step)
  local brace = string.find(raw, '}%s*$', -100)
  local sound = brace and string.byte(raw) == 123 and string.find(raw, '"headers"', 1, true)
    and string.find(raw, '"properties"', 1, true) and string.find(raw, '"delivery_info"', 1, true)
  return {
    text = raw, first = 1, final = sound and brace - 1 or #raw, sound = sound and true or false,
    since = NOW, rank = false, priority = step, deliveries = 0, own = '0', id = '',
  }
end

-- The message in bytes `first` to `final` of a text, if it has facts; else nil.
local function read_facts(text, first, final)
  local sound = string.byte(text, final) == 125
  if not string.find(text, 'x-stem', math.max(first, final - TAILS[2]), true) then return nil end
  for _, size in ipairs(TAILS) do
    local from = math.max(first, final - size + 1)
    local at, since, rank, priority, deliveries, own, id =
      string.match(string.sub(text, from, final), sound and MEMBER or SUFFIX)
    if at then
      local ok, plain = pcall(unquoted, id)
      return {
        text = text, first = first, final = from + at - 2, sound = sound, since = tonumber(since),
        rank = tonumber(rank), priority = tonumber(priority), deliveries = tonumber(deliveries), own = own,
        id = ok and plain or '',
      }
    end
    if from == first then return nil end
  end
end

local function facts_of(raw) return read_facts(raw, 1, #raw) end

local function read(raw, step) return facts_of(raw) or foreign(raw, step) end

local function new_message(raw, priority, id)
  return {
    text = raw, first = 1, final = #raw - 1, sound = true, priority = priority, deliveries = 0, own = '1', id = id,
  }
end

-- A message as its producer wrote it.
local function raw_of(m)
  return string.sub(m.text, m.first, m.final) .. (m.sound and '}' or '')
end

-- The id of its task; a foreign message is read for it, only where a record may have to follow.
local function id_of(m)
  if m.own == '1' or not m.sound then return m.id end
  local ok, decoded = pcall(cjson.decode, raw_of(m))
  local headers = ok and type(decoded) == 'table' and decoded.headers
  local id = type(headers) == 'table' and headers.id
  return type(id) == 'string' and id or ''
end

local function written(m, before, behind)
  return (before or '') .. string.sub(m.text, m.first, m.final) .. (m.sound and ', "x-stem": "' or '\30x-stem "')
    .. string.format('%.0f %.0f %d %d %s ', m.since, m.rank or 0, m.priority, m.deliveries, m.own) .. quoted(m.id)
    .. (m.sound and '"}' or '"') .. (behind or '')
end

-- The form in which kombu keeps what was taken from a list: restored, it goes to this queue alone.
local function held_form(m, queue) return written(m, '[', ',"",' .. cjson.encode(queue) .. ']') end

local function from_held(value, queue)
  return read_facts(value, 2, #value - #cjson.encode(queue) - 5)
end

local function set_live(m, place)
  if m.own == '1' and m.id ~= '' then call('HSET', LIVE, m.id, place) end
end

local function end_life(m)
  if m.own == '1' and m.id ~= '' then call('HDEL', LIVE, m.id) end
end

local function peek(list, index, step)
  local raw = call('LINDEX', list, index)
  if not raw then return nil end
  return facts_of(raw) or { priority = step, rank = false }, raw
end

-- Between messages of other priorities in one list. Sorted from the right, which is leased first:
-- the first from there that is to be leased after `m` is found by halving.
local function insert(list, m, step, front)
  local low, high = 0, call('LLEN', list) - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = peek(list, -1 - middle, step).priority
    if other < m.priority or (front and other == m.priority) then high = middle else low = middle + 1 end
  end
  local other, pivot = peek(list, -1 - low, step)
  m.rank = front and other.priority == m.priority and (other.rank or 0) - 1 or tick()
  call('LINSERT', list, 'AFTER', pivot, written(m))
end

-- Make a message ready: behind its equals, or before them.
local function place(queue, m, front)
  local step = step_of(m.priority)
  local list = list_of(queue, step)
  set_live(m, step .. ' ' .. queue)
  if front then
    local head = peek(list, -1, step)
    if not head or m.priority >= head.priority then
      m.rank = head and head.priority == m.priority and (head.rank or 0) - 1 or tick()
      call('RPUSH', list, written(m))
    elseif m.priority < peek(list, 0, step).priority then
      m.rank = tick()
      call('LPUSH', list, written(m))
    else
      insert(list, m, step, true)
    end
  elseif m.priority == step then -- the lowest of its list, as nearly all are
    m.rank = tick()
    call('LPUSH', list, written(m))
  else
    local hind = peek(list, 0, step)
    local head = hind and peek(list, -1, step)
    m.rank = tick()
    if not hind or m.priority <= hind.priority then
      call('LPUSH', list, written(m))
    elseif m.priority > head.priority then
      call('RPUSH', list, written(m))
    else
      insert(list, m, step, false)
    end
  end
end

-- Put a message where it is to wait until `due`. The mirror brings it back at that time even if
-- only Celery's workers are left: they restore what has been unacknowledged for `visible` seconds.
local function wait(queue, m, due, visible, front)
  m.since = math.max(due, NOW)
  if due <= NOW then return place(queue, m, front) end
  m.rank = tick()
  local token = 'delayed/' .. int(m.rank) .. '/' .. queue
  set_live(m, token)
  call('HSET', UNACKED, token, held_form(m, queue))
  if m.sound then call('ZADD', UNACKED_INDEX, due / 1000000 - visible, token) end
  call('ZADD', delayed_of(queue), due, token)
end

-- Take a delayed message out, or nil when Celery's workers did.
local function undelay(queue, token)
  call('ZREM', delayed_of(queue), token)
  local value = call('HGET', UNACKED, token)
  if not value then return nil end
  call('HDEL', UNACKED, token)
  call('ZREM', UNACKED_INDEX, token)
  return from_held(value, queue)
end

-- Messages that are leased no more, as tokens by queue, for `let_all_go` at the end of a script.
local gone, leaving = {}, {}

-- The message leased under a token and whether the lease has lapsed; nil when it is not current.
local function leased(token)
  local fence, queue = fence_and_queue(token)
  if gone[token] then return nil end
  local till = queue and call('ZSCORE', leases_of(queue), token)
  local value = till and call('HGET', UNACKED, token)
  if not value then return nil end
  local m = from_held(value, queue)
  m.queue, m.token, m.till, m.fence = queue, token, tonumber(till), tonumber(fence)
  return m, m.till <= NOW
end

local function let_go(m)
  local tokens = leaving[m.queue] or {}
  leaving[m.queue] = tokens
  tokens[#tokens + 1] = m.token
  gone[m.token] = true
end

local function let_all_go()
  for queue, tokens in pairs(leaving) do
    in_chunks('HDEL', UNACKED, tokens)
    in_chunks('ZREM', UNACKED_INDEX, tokens)
    in_chunks('ZREM', leases_of(queue), tokens)
  end
end

local function keep(id, queue, told, raw, number)
  call('HSET', PAYLOADS, id, raw)
  call('HSET', LETTERS, id, told .. ',"queue":' .. cjson.encode(queue) .. '}')
  call('ZADD', BURIED, number, id)
  call('ZADD', DEAD, number, id)
  call('ZADD', OWN .. 'dead:' .. queue, number, id)
end

-- Keep a message as a dead letter. `told` is a JSON object without its end.
local function bury(m, told)
  local number = tick()
  local facts = ',"deliveries":' .. m.deliveries .. ',"priority":' .. m.priority
  keep('dead-' .. int(number), m.queue, told .. facts, raw_of(m), number)
end
