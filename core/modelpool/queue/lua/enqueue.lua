-- Idempotency key, then cache, then an identical job in flight, then the queue; for several jobs that came at one time.
-- ARGV: of each job how many values follow, then id, idempotency key, fingerprint, use cache ('1'), life in ms, shape,
-- then fields and values of the record: lane, subject, model, work, price, digest, key, others, and the body's slices.
-- Returns of each {'queued', id, now, position}, {'joined', id, now, position, leader}, {'cached', id, now, result},
-- {'repeated', id}, {'conflict', id}, or an error, which is no concern of the other jobs.
local heads, lives, wanted, woken = {}, {}, {}, {}

-- The tag of the first in a line as this script found it, false when nobody stood there. Who joins since starts no sooner
-- than that or V, whichever is less.
local function head_of(line, model)
  local place = line .. model
  if heads[place] == nil then
    heads[place] = tonumber(call('ZRANGE', key('line', line, model), 0, 0, 'WITHSCORES')[2]) or false
  end
  return heads[place]
end

local function enqueue(first, last)
  local id, idempotency, fingerprint, use_cache, life, shape, _, lane, _, subject, _, model, _, work, _, _, _, digest, _, its_key =
    unpack(ARGV, first, first + 19)
  life = tonumber(life)
  local deadline = whole_number(now + life)
  local job = {id = id, seq = '1', state = nil, deadline = deadline, lane = lane, subject = subject, model = model,
    work = tonumber(work), digest = digest, key = its_key, line = line_of(lane), ttl = life + RECORD_MS, ticket = nil,
    tag = nil, shape = nil}

  -- What is rare is looked for at once.
  local record = key('job', id)
  local before = idempotency ~= '' and key('idempotency', idempotency)
  local cached = use_cache == '1' and key('cache', digest)
  if call('EXISTS', record, before or record, cached or record) > 0 then
    if call('EXISTS', record) == 1 then return {'repeated', id} end -- our own reply was lost
    local owner = before and call('GET', before)
    if owner then
      local its, print = owner:match('^(%S+) ?(.*)$')
      return {print == fingerprint and 'repeated' or 'conflict', its}
    end
    cached = cached and call('GET', cached)
  else
    cached = false
  end

  local ttl = whole_number(job.ttl)
  local function remember()
    call('PEXPIRE', record, ttl)
    if before then call('SET', before, id .. ' ' .. fingerprint, 'PX', ttl) end
  end
  if cached then
    job.state = 'succeeded'
    local values = {}
    put(values, 'result', cached)
    call('HSET', record, 'state', job.state, 'enqueued', now_text, 'deadline', deadline, 'cached', '1',
      'finished', now_text, unpack(ARGV, first + 6, last))
    call('HSET', record, unpack(values))
    remember()
    tell(job)
    return {'cached', id, now, cached}
  end

  local leading = leader_of(job)
  local leader = use_cache == '1' and leading and read(leading)
  if leader and leader.finished then leader = nil end
  job.state = leader and 'following' or 'queued'
  local ticket = known_number('ticket') + 1
  job.ticket = string.format(TICKET, ticket)
  -- start = max(V, user_finish), where V is never ahead of the line that the job joins: that line may have stood
  -- still while others moved on, and a newcomer shall not wait for all of somebody's backlog.
  local clock, head = reached(job.line), head_of(job.line, model)
  job.tag = string.format('%.17g', math.max(debt_of(job), math.min(clock, head or clock)))
  call('HSET', record, 'state', job.state, 'enqueued', now_text, 'deadline', deadline, 'ticket', job.ticket,
    'tag', job.tag, unpack(ARGV, first + 6, last))
  note('ticket', ticket)
  if known('mixes') then
    job.shape = shape
    call('HSET', record, 'shape', shape)
  end
  remember()

  if leader then
    if join(leader, job) then woken[model], heads, lives = true, {}, {} end
    local position = ahead(leader)
    tell(job, position)
    return {'joined', id, now, position, leader.id}
  end

  -- Who wants no cache follows nobody, and leads only where nobody does.
  if use_cache == '1' or not leading then lead(job, job.ttl) end
  bill(job)
  enter(job, lives)
  wanted[model], woken[model] = (wanted[model] or 0) + 1, true
  local position = ahead(job)
  tell(job, position)
  return {'queued', id, now, position}
end

recall({'ticket', 'paid', 'free', 'mixes'})
local answers, first, well, problem = {}, 2, false, nil
while ARGV[first] do
  local last = first + ARGV[first]
  local done, answer = pcall(enqueue, first + 1, last)
  if not done then problem = answer end
  well = well or done
  answers[#answers + 1] = type(answer) == 'string' and {err = answer} or answer
  first = last + 1
end
write_tally()
if not well then error(problem, 0) end -- none could be written: that is Redis's state
for model, amount in pairs(wanted) do demand(model, amount) end
for model in pairs(woken) do ring('workers', model) end
for model in pairs(wanted) do ring('operator', model) end
return answers
