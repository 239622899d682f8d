-- Who stands where, and what that costs: comes after prelude.lua.

local function milliseconds(seconds) return math.floor(seconds * 1000 + 0.5) end

-- Where a queued job stands. A lone job is in no batch set, so nobody takes it along.
local function places(job)
  local line = key('line', job.line, job.model)
  if job.solo == '1' then return {line} end
  local batch = key('batch', job.line, job.key)
  if not job.shape then return {line, batch} end
  return {line, batch, key('shape', job.line, job.shape)}
end

-- Stand in line. `lives`: see keep.
local function enter(job, lives)
  local ttl, name = ttl_of(job), member(job)
  for _, place in ipairs(places(job)) do add(place, job.tag, name, ttl, lives) end
  add(key('due'), job.deadline, job.id, ttl, lives)
  tally_ttl = math.max(tally_ttl, ttl)
  count(job, job.lane, 1)
  count(job, 'work', milliseconds(job.work))
end

-- Step out of line, a whole batch in few calls: all members are of one model.
local function leave(jobs)
  local gone, counts, work, known_places = {}, {}, 0, {}
  for _, job in ipairs(jobs) do
    local name, kind = member(job), job.line .. (job.solo == '1' and '' or job.key) .. (job.shape or '')
    known_places[kind] = known_places[kind] or places(job)
    for _, place in ipairs(known_places[kind]) do
      local members = gone[place]
      if members then members[#members + 1] = name else gone[place] = {name} end
    end
    counts[job.lane] = (counts[job.lane] or 0) - 1
    work = work - milliseconds(job.work)
  end
  for place, members in pairs(gone) do call('ZREM', place, unpack(members)) end
  for lane, amount in pairs(counts) do count(jobs[1], lane, amount) end
  count(jobs[1], 'work', work)
end

-- How many jobs start before this one; false when it does not stand in line.
local function ahead(job)
  if not job or job.state ~= 'queued' then return false end
  local rank = call('ZRANK', key('line', job.line, job.model), member(job))
  if rank and job.line == 'free' then rank = rank + call('ZCARD', key('line', 'paid', job.model)) end
  return rank
end

local function tell(job, position)
  call('PUBLISH', key('events'), '{"job":"' .. job.id .. '","seq":' .. job.seq .. ',"state":"' .. job.state .. '"'
    .. (position and ',"position":' .. whole_number(position) or '') .. '}')
end

-- Write a job's next version and tell whoever listens; of a job that stands in line, where.
local function change(job, changes)
  local args = {}
  changes.seq = whole_number(job.seq + 1)
  for field, value in pairs(changes) do
    job[field] = value
    put(args, field, value)
  end
  call('HSET', key('job', job.id), unpack(args))
  tell(job, ahead(job))
end

-- The virtual time that is noted for a user, 0 when there is none.
local function noted_time(name) return number(call('GET', name) or nil) or 0 end

-- Forgotten when nothing of the user's can be waiting any more.
local function note_time(name, job, user, time)
  local life = math.max(ttl_of(job) - RECORD_MS + SLACK_MS, call('PTTL', key('debt', job.line, user)))
  call('SET', name, string.format('%.17g', time), 'PX', whole_number(life))
end

local function debt_of(job) return noted_time(key('debt', job.line, job.subject)) end

-- How far the heads of a line have come in virtual time: V.
local function reached(line) return known_number(line) end

-- Start-time fair queueing: the user's next job starts in virtual time when this one would be done. Who starts ahead of
-- V, because somebody's old job is at the head of the line, does so with one job: the next ones start from V.
local function bill(job)
  local began = math.max(job.tag, reached(job.line))
  note_time(key('debt', job.line, job.subject), job, job.subject, began + job.work / WEIGHT[job.lane])
end

-- The id of the job in flight that identical ones follow.
local function leader_of(job) return call('HGET', flight(job)) end

local function lead(job, ttl)
  local flights, name = flight(job)
  call('HSET', flights, name, job.id)
  keep(flights, ttl)
end

-- Give a leader another place. Returns whether it stands in line.
local function move(leader, place)
  local waits = leader.state == 'queued'
  if waits then leave({leader}) end
  leader.line, leader.tag = place.line, place.tag
  if waits then enter(leader) end
  change(leader, place)
  return waits
end

-- Follow a leader, which waits where the first of them all would. Who lifts it owes for that, or an accomplice could
-- move any number of jobs ahead. Returns whether a waiting leader was lifted: its workers want to know.
local function join(leader, job)
  local ttl = ttl_of(job)
  add(key('followers', job.line, leader.id), job.tag, member(job), ttl)
  keep((flight(job)), ttl)
  add(key('due'), job.deadline, job.id, ttl)
  local line, tag = leader.line, tonumber(leader.tag)
  if (job.line == line and tonumber(job.tag) < tag) or (job.line == 'paid' and line == 'free') then
    if not job.billed then bill(job) end
    call('HSET', key('job', job.id), 'billed', '1')
    local other = line ~= job.line
    return move(leader, {line = job.line, tag = job.tag, own = other and leader.tag or nil,
      own_payer = other and leader.payer or nil, payer = job.subject})
  end
end

local function demand(model, amount)
  local minute = key('demand', whole_number(math.floor(now / 60000)))
  if call('HINCRBY', minute, model, amount) == amount then keep(minute, DEMAND_MS) end
end

local function refund(job)
  if not job.charge then return end
  local time = call('TIME')
  call('XADD', key('refunds'), 'MINID', '~', time[1] * 1000 - REFUNDS_MS, '*',
    'charge', job.charge, 'price', job.price, 'day', math.floor(job.enqueued / 86400000))
  keep(key('refunds'), REFUNDS_MS)
end
