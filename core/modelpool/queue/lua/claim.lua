-- The next batch: the head of line over the hot models decides the key, paid before free.
-- ARGV: lease, slot, lease ms, mixes ('1'), then name, cap and work limit (or empty) of each hot model.
-- Returns {now, id, body, lane, work, attempts, solo, enqueued, deadline, trace, id, …}, nil when there is nothing to
-- do, or 'reap' when the caller shall do that first.
local lease, slot, lease_ms, mixes = unpack(ARGV, 2, 5)
local answer = {now}

local told = 1
local function hand_out(job)
  answer[told + 1], answer[told + 2], answer[told + 3] = job.id, whole(job, 'body'), job.lane
  answer[told + 4], answer[told + 5], answer[told + 6] = job.work, job.attempts, job.solo or ''
  answer[told + 7], answer[told + 8], answer[told + 9] = job.enqueued, job.deadline, job.trace or ''
  told = told + 9
end

-- The reply to this very claim was lost: answer again.
local taken = call('GET', key('lease', lease))
if taken then
  for id in taken:gmatch('%S+') do
    local job = read(id)
    if job and job.state == 'running' and job.lease == lease then hand_out(job) end
  end
  return #answer > 1 and answer
end

-- Nobody is handed a job whose time is over.
if call('ZRANGEBYSCORE', key('due'), '-inf', now_text, 'LIMIT', 0, 1)[1] then return 'reap' end

-- From now on jobs enter the sets that mixing claims fill up from. In a full memory the first write must take away.
local function announce_mixing()
  if mixes ~= '1' or call('HEXISTS', key('tally'), 'mixes') == 1 then return end
  call('HDEL', key('tally'), 'mixes')
  call('HSET', key('tally'), 'mixes', 1)
  keep(key('tally'), RECORD_MS)
end

-- Who is first for each of the hot models in the lines of one name.
local function heads_of(line)
  local heads = {}
  for i = 6, #ARGV, 3 do
    local top = call('ZRANGE', key('line', line, ARGV[i]), 0, 0, 'WITHSCORES')
    if top[1] then
      heads[#heads + 1] = {name = top[1], tag = tonumber(top[2]), line = line, model = ARGV[i],
        cap = tonumber(ARGV[i + 1]), room = tonumber(ARGV[i + 2]) or math.huge}
    end
  end
  return heads
end

-- When a job starts beside those of other models. A line that stood still while others moved on holds jobs from V and
-- before. They do not all go first: of every user one does, and the next ones take turns with what the others' lines have
-- come to. Each model has turns of its own: were they a user's in all lines, what it is given in one would pile its jobs
-- up in front of the others in another.
local function served(line, model, user) return key('served', line .. ':' .. model, user) end

local function turn_of(head, name, tag)
  if tag > reached(head.line) then return tag end
  local subject, payer = unpack(call('HMGET', key('job', id_of(name)), 'subject', 'payer'))
  return math.max(tag, subject and noted_time(served(head.line, head.model, payer or subject)) or 0)
end

-- Of the first in a line the one whose turn comes first: nobody waits behind a job that has to wait itself.
local function take_turns(head)
  head.turn = turn_of(head, head.name, head.tag)
  if head.turn == head.tag then return end
  local next_ones = call('ZRANGE', key('line', head.line, head.model), 1, LOOK_AHEAD - 1, 'WITHSCORES')
  for i = 1, #next_ones, 2 do
    local name, tag = next_ones[i], tonumber(next_ones[i + 1])
    if tag > head.turn then return end
    local turn = turn_of(head, name, tag)
    if turn < head.turn or (turn == head.turn and name < head.name) then head.name, head.tag, head.turn = name, tag, turn end
  end
end

local function head_of_line()
  for _, line in ipairs(LINES) do
    local heads = heads_of(line)
    local first = heads[1]
    if #heads > 1 then
      for _, head in ipairs(heads) do
        take_turns(head)
        if head.turn < first.turn or (head.turn == first.turn and head.name < first.name) then first = head end
      end
    end
    if first then return first end
  end
end

local first, head
for _ = 1, CHUNK do
  first = head_of_line()
  if not first then break end
  head = read(id_of(first.name))
  if head and head.state == 'queued' then break end
  head = nil
  call('ZREM', key('line', first.line, first.model), first.name) -- damage: it has no record, or does not wait
end
if not head then
  announce_mixing()
  return false
end

-- Others with the head's key join in the order of their tags, free ones only when no other paid job can, until the
-- batch is full or the next one would cost too much.
local batch = {head}
local function fill()
  local room = first.room - head.work
  local kind, group = 'batch', head.key
  if mixes == '1' and head.shape then kind, group = 'shape', head.shape end
  for _, line in ipairs(first.line == 'paid' and LINES or {'free'}) do
    for _, name in ipairs(call('ZRANGE', key(kind, line, group), 0, first.cap - 1)) do
      local job = name ~= first.name and read(id_of(name))
      if job and job.state == 'queued' then
        room = room - job.work
        if #batch >= first.cap or room < 0 then return end
        batch[#batch + 1] = job
      end
    end
  end
end
if head.solo ~= '1' and first.cap > 1 then fill() end

local began = first.turn or first.tag

leave(batch)
recall({first.line, head.model .. ' paid', head.model .. ' account', head.model .. ' anonymous', head.model .. ' work',
  head.model .. ' running'})
count(head, 'running', #batch)
local ids, due, lapse, company = {}, {}, whole_number(now + lease_ms), tostring(#batch)
for i, job in ipairs(batch) do
  job.state, job.seq = 'running', whole_number(job.seq + 1)
  call('HSET', key('job', job.id), 'state', job.state, 'lease', lease, 'slot', slot, 'started', now_text,
    'company', company, 'seq', job.seq)
  tell(job)
  local sooner = tonumber(job.deadline) < now + lease_ms
  ids[i], due[2 * i - 1], due[2 * i] = job.id, sooner and job.deadline or lapse, job.id
  hand_out(job)
end
call('ZADD', key('due'), unpack(due))
local late = {} -- beside other models
for _, job in ipairs(batch) do
  if first.turn and tonumber(job.tag) <= reached(job.line) then late[#late + 1] = job end
end
-- V follows the heads only: a batch mate from far behind says nothing about how far the line has come.
if began > reached(first.line) then note(first.line, string.format('%.17g', began)) end
for _, job in ipairs(late) do -- the next late one of the user's starts when this one would be done
  local user = job.payer or job.subject
  local name = served(job.line, job.model, user)
  local turn = math.max(reached(job.line), noted_time(name))
  note_time(name, job, user, turn + job.work / WEIGHT[job.lane])
end
write_tally()
call('SET', key('lease', lease), table.concat(ids, ' '), 'PX', lease_ms)
announce_mixing()
return answer
