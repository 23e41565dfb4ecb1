-- The task records and who may write them. `stem.ports.results.Results` has the rules (R1 to R9).
--
-- A record is a hash; it follows the delivery that its fence and token name, and has no token when
-- no delivery may write about it any more.

local ENDED = { succeeded = true, failed = true, cancelled = true }
local MOST = 100000 -- entries of an index; the oldest fall out of listings, not out of the store
local TIMELINE = 32768 -- bytes of a timeline; the oldest lines are dropped

local function key_of(id) return OWN .. 'task:' .. id end

local function look_up(id)
  local got = call('HMGET', key_of(id), 'state', 'fence', 'token', 'attempt', 'queue', 'worker', 'ttl', 'log')
  if not got[1] then return nil end
  return {
    id = id, state = got[1], fence = tonumber(got[2]), token = got[3], attempt = got[4], queue = got[5],
    worker = got[6], ttl = tonumber(got[7]), log = got[8] or '',
  }
end

-- Entries are dropped now and then, some sixteen at a time.
local function file(index, id, version)
  call('ZADD', index, version, id)
  if math.fmod(version, 16) == 0 then call('ZREMRANGEBYRANK', index, 0, -MOST - 1) end
end

local function state_index(state) return OWN .. 'state:' .. state end
local function queue_index(queue) return OWN .. 'queue:' .. queue end

-- Write fields of a record and, if `kind` is given, a line of its timeline.
local function write(record, state, fields, kind, detail)
  local version = tick()
  if kind then
    local line = '[' .. int(NOW) .. ',"' .. kind .. '",' .. record.attempt .. ',' .. cjson.encode(record.worker)
      .. ',' .. cjson.encode(detail or '') .. ']\n'
    local log = record.log .. line
    if #log > TIMELINE then log = string.sub(log, string.find(log, '\n', #log - TIMELINE, true) + 1) end
    record.log = log
  end
  local new = record.new or {}
  record.new = nil
  for _, field in ipairs(fields) do new[#new + 1] = field end
  call('HSET', key_of(record.id), 'state', state, 'updated', int(version), 'log', record.log, unpack(new))
  if record.state and record.state ~= state then call('ZREM', state_index(record.state), record.id) end
  record.state = state
  file(state_index(state), record.id, version)
  file(queue_index(record.queue), record.id, version)
end

-- A record that does not exist yet, and does not before it is written; `fields` are name, sent and
-- whatever else is known.
local function blank(id, queue, ttl, fields)
  local new = { 'fence', '0', 'attempt', '1', 'deliveries', '0', 'generation', '0', 'worker', '', 'queue', queue,
    'ttl', int(ttl) }
  for _, field in ipairs(fields) do new[#new + 1] = field end
  return {
    id = id, fence = 0, token = false, attempt = '1', queue = queue, worker = '', ttl = ttl, log = '', new = new,
  }
end

local function exists(id) return call('EXISTS', key_of(id)) == 1 end

local function add_record(task)
  local id, queue, ttl, fields = unpack(task)
  if exists(id) then return false end
  write(blank(id, queue, tonumber(ttl), fields), 'queued', {}, 'queued')
  return true
end

-- A worker's word: id, token, fence, attempt, deliveries, worker.
local function follows(record, word)
  return record.fence == tonumber(word[3]) and record.token == word[2]
end

local function admits(record, word)
  return not ENDED[record.state] and (record.fence < tonumber(word[3]) or follows(record, word))
end

local function take(record, word, fields)
  record.fence, record.token = tonumber(word[3]), word[2]
  record.attempt, record.worker = word[4], word[6]
  for position, name in ipairs({ 'token', 'fence', 'attempt', 'deliveries', 'worker' }) do
    fields[#fields + 1] = name
    fields[#fields + 1] = word[position + 1]
  end
end

local function show_celery(id, head, ttl)
  local key = KOMBU .. 'celery-task-meta-' .. id
  local text = head .. cjson.encode(id) .. '}'
  call('SET', key, text, 'PX', math.max(1, math.floor(ttl / 1000)))
  call('PUBLISH', key, text)
end

local function end_record(record, state, fields, detail, meta)
  local expires = NOW + record.ttl
  fields[#fields + 1] = 'expires'
  fields[#fields + 1] = int(expires)
  write(record, state, fields, state, detail)
  call('ZADD', EXPIRY, expires, record.id)
  show_celery(record.id, meta, record.ttl)
end

-- word, started, queue, ttl, fields of a new record
local function start(note)
  local word, started, queue, ttl, new = unpack(note)
  local record = look_up(word[1]) or blank(word[1], queue, tonumber(ttl), new)
  if record.state == 'running' and follows(record, word) then return true end
  if not admits(record, word) then return false end
  local fields = { 'started', started }
  take(record, word, fields)
  write(record, 'running', fields, 'started')
  return true
end

-- word, detail, fields
local function retry(note)
  local word, detail, fields = unpack(note)
  local record = look_up(word[1])
  if not record then return false end
  if record.state == 'retrying' and follows(record, word) then return true end
  if not admits(record, word) then return false end
  call('HDEL', key_of(record.id), 'error')
  take(record, word, fields)
  write(record, 'retrying', fields, 'retrying', detail)
  return true
end

local function disown(record)
  record.token = false
  call('HDEL', key_of(record.id), 'token')
end

-- As `start`; the attempt has stopped without an outcome.
local function release(note)
  local word = note[1]
  local record = look_up(word[1])
  if not record or record.state ~= 'running' or not follows(record, word) then return false end
  disown(record)
  write(record, 'queued', {})
  return true
end

-- word, state, detail, fields, queue, ttl, fields of a new record, meta
local function finish(ending)
  local word, state, detail, fields, queue, ttl, new, meta = unpack(ending)
  local record = look_up(word[1]) or blank(word[1], queue, tonumber(ttl), new)
  if ENDED[record.state] and follows(record, word) then return true end
  if not admits(record, word) then return false end
  if record.attempt ~= '1' or record.state == 'retrying' then call('HDEL', key_of(record.id), 'error') end
  take(record, word, fields)
  end_record(record, state, fields, detail, meta)
  return true
end

-- From here on the store's own word about a message that it takes out of a worker's hands.

local function open_record(id, fence)
  local record = id ~= '' and look_up(id)
  if not record or ENDED[record.state] or (fence and record.fence > fence) then return nil end
  return record
end

local function release_record(id, fence)
  local record = open_record(id, fence)
  if record and record.state == 'running' then write(record, 'queued', {}) end
end

local function reclaim_record(id, fence)
  local record = open_record(id, fence)
  if record then
    disown(record)
    write(record, record.state == 'running' and 'queued' or record.state, {}, 'reclaimed')
  end
end

local function lose_record(id, fence, deliveries, lost)
  local record = open_record(id, fence)
  if record then
    disown(record)
    end_record(record, 'failed', { 'deliveries', deliveries, 'finished', int(NOW), 'error', lost.error },
      lost.detail, lost.meta)
  end
end

local function cancel_record(id, reason, meta)
  local record = open_record(id)
  if record then
    disown(record)
    end_record(record, 'cancelled', { 'finished', int(NOW) }, reason, meta)
  end
end

local function replay_record(id, generation)
  local record = id ~= '' and look_up(id)
  if record then
    disown(record)
    record.attempt, record.worker = '1', ''
    call('HDEL', key_of(id), 'error', 'result', 'started', 'finished', 'runtime', 'expires', 'progress')
    call('ZREM', EXPIRY, id)
    call('DEL', KOMBU .. 'celery-task-meta-' .. id)
    write(record, 'queued', { 'attempt', '1', 'deliveries', '0', 'generation', generation, 'worker', '' },
      'replayed')
  end
end

local function delete_record(record)
  call('ZREM', state_index(record.state), record.id)
  call('ZREM', queue_index(record.queue), record.id)
  call('ZREM', EXPIRY, record.id)
  call('DEL', key_of(record.id), KOMBU .. 'celery-task-meta-' .. record.id)
end

-- A new message, unless its task is known: queue, priority, due, id, raw, record or false.
local function publish(new, visible)
  local queue, priority, due, id, raw, task = unpack(new)
  if id ~= '' and (call('HEXISTS', LIVE, id) == 1 or exists(id)) then return false end
  call('SADD', QUEUES, queue)
  if task then add_record(task) end
  wait(queue, new_message(raw, priority, id), moment(due), visible, false)
  return true
end
