-- Shared by every verb: the loader puts constants and this file in front of each script.
--
-- KEYS[1] is the pool's prefix, ARGV[1] the time in ms (empty: Redis's own clock). Keys of a pool:
--   job:<id>       hash   what the verbs need of a job, and the request, opaque. Redis keeps a hash compact while every
--                         value is short, and a key of its own costs as much as half a request: so long values lie in
--                         slices (body, b2, b3, …), and what is usual is left out (the line of a job that stands in its
--                         lane's, no attempts, the first seq, the shape where nobody mixes)
--   line:<line>:<model>, batch:<line>:<key>, shape:<line>:<shape>
--                  zset   queued jobs by virtual start time; a solo job stands in its line only, and one that came
--                         before any worker could mix parameters is in no shape set, which saves memory where none can
--   due            zset   every live job by the time at which somebody must look at it (lease or deadline)
--   flight:<digest's first digits>
--                  hash   by the next digits (half a digest tells them apart): the job in flight that identical ones follow
--   followers:<line>:<id> zset   who follows it
--   debt:<line>:<subject> the virtual time at which a user's next job may start
--   tally          hash   tickets given out; per line V, the largest virtual start time that was claimed as a head;
--                         per model and lane jobs queued, per model work queued (ms) and jobs running; whether
--                         workers here mix parameters
-- A member of a zset is ticket .. id: equal starts are served in the order of arrival.

local call = redis.call

local prefix = KEYS[1] .. ':'
local function key(kind, one, two)
  if two then return prefix .. kind .. ':' .. one .. ':' .. two end
  if one then return prefix .. kind .. ':' .. one end
  return prefix .. kind
end
local function member(job) return job.ticket .. job.id end
local function flight(job) return key('flight', job.digest:sub(1, FLIGHT_DIGITS)), job.digest:sub(FLIGHT_DIGITS + 1, 32) end
local function id_of(name) return name:sub(TICKET_DIGITS + 1) end

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Redis writes a number anew, and slowly, in every call that it is passed to.
local now_text = tostring(now)

local function line_of(lane) return lane == 'paid' and 'paid' or 'free' end

local function read(id)
  local flat = call('HGETALL', key('job', id))
  if not flat[1] then return nil end
  local job = {id = id, seq = '1', attempts = '0'}
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  job.line = job.line or line_of(job.lane)
  return job
end

-- As much of a job as it takes to finish it.
local function glance(id)
  local lease, state, seq, digest, model = unpack(call('HMGET', key('job', id), 'lease', 'state', 'seq', 'digest', 'model'))
  return {id = id, lease = lease, state = state, seq = seq or '1', digest = digest, model = model}
end

-- Fields whose values may be long, and what their further slices are called besides a number.
local SLICED = {body = 'b', result = 'r', error = 'e', failures = 'f'}

-- Put a field and its value behind `args`; a long one in slices, as many as it takes, but not thousands.
local function put(args, field, value)
  local n, size = #args, SLICE
  if not SLICED[field] or #value <= size then
    args[n + 1], args[n + 2] = field, value
    return
  end
  size = math.max(size, math.ceil(#value / SLICES))
  for i = 1, math.ceil(#value / size) do
    args[n + 1], args[n + 2] = i == 1 and field or SLICED[field] .. i, value:sub(size * (i - 1) + 1, size * i)
    n = n + 2
  end
end

-- A value of a record that may lie in slices. Such values only grow.
local function whole(job, field)
  local slices, n, slice = {job[field]}, 1, SLICED[field]
  while slices[n] do
    n = n + 1
    slices[n] = job[slice .. n]
  end
  return n > 2 and table.concat(slices) or slices[1]
end

local function ring(audience, model) call('PUBLISH', key('wake', audience), model) end

local function tell(job)
  call('PUBLISH', key('events'), '{"job":"' .. job.id .. '","seq":' .. job.seq .. ',"state":"' .. job.state .. '"}')
end

-- Write a job's next version and tell whoever listens.
local function change(job, changes)
  local args = {}
  changes.seq = job.seq + 1
  for field, value in pairs(changes) do
    job[field] = value
    put(args, field, value)
  end
  call('HSET', key('job', job.id), unpack(args))
  tell(job)
end

-- Keep a shared key at least as long as a job's record; the slack saves most of the writes.
local function keep(name, ttl)
  if call('PTTL', name) < ttl then call('PEXPIRE', name, ttl + SLACK_MS) end
end

local function add(name, score, entry, ttl)
  call('ZADD', name, score, entry)
  keep(name, ttl)
end

local function ttl_of(job) return math.max(0, job.deadline - now) + RECORD_MS end

local function count(job, what, amount) call('HINCRBY', key('tally'), job.model .. ' ' .. what, amount) end

local function milliseconds(seconds) return math.floor(seconds * 1000 + 0.5) end

-- Where a queued job stands. A lone job is in no batch set, so nobody takes it along.
local function places(job)
  local line = key('line', job.line, job.model)
  if job.solo == '1' then return {line} end
  local batch = key('batch', job.line, job.key)
  if not job.shape then return {line, batch} end
  return {line, batch, key('shape', job.line, job.shape)}
end

-- Stand in line.
local function enter(job)
  local ttl = ttl_of(job)
  for _, place in ipairs(places(job)) do add(place, job.tag, member(job), ttl) end
  count(job, job.lane, 1)
  count(job, 'work', milliseconds(job.work))
  keep(key('tally'), ttl)
  add(key('due'), job.deadline, job.id, ttl)
  ring('workers', job.model)
end

-- Step out of line, a whole batch in few calls: all members are of one model.
local function leave(jobs)
  local gone, counts = {}, {work = 0}
  for _, job in ipairs(jobs) do
    for _, place in ipairs(places(job)) do
      gone[place] = gone[place] or {}
      table.insert(gone[place], member(job))
    end
    counts[job.lane] = (counts[job.lane] or 0) - 1
    counts.work = counts.work - milliseconds(job.work)
  end
  for name, members in pairs(gone) do call('ZREM', name, unpack(members)) end
  for what, amount in pairs(counts) do count(jobs[1], what, amount) end
end

-- How many jobs start before this one; false when it does not stand in line.
local function ahead(job)
  if job.state ~= 'queued' then return false end
  local rank = call('ZRANK', key('line', job.line, job.model), member(job))
  if rank and job.line == 'free' then rank = rank + call('ZCARD', key('line', 'paid', job.model)) end
  return rank
end

local function debt_of(job) return tonumber(call('GET', key('debt', job.line, job.subject)) or 0) end

-- How far the heads of a line have come in virtual time: V.
local function reached(line) return tonumber(call('HGET', key('tally'), line) or 0) end

-- Start-time fair queueing: the user's next job starts in virtual time when this one would be done. Who starts ahead of
-- V, because somebody's old job is at the head of the line, does so with one job: the next ones start from V. Forgotten
-- when nothing of the user's can be waiting any more.
local function bill(job)
  local debt = key('debt', job.line, job.subject)
  local began = math.max(job.tag, reached(job.line))
  call('SET', debt, string.format('%.17g', began + job.work / WEIGHT[job.lane]), 'KEEPTTL')
  keep(debt, ttl_of(job) - RECORD_MS)
end

-- The id of the job in flight that identical ones follow.
local function leader_of(job) return call('HGET', flight(job)) end

local function lead(job, ttl)
  local flights, name = flight(job)
  call('HSET', flights, name, job.id)
  keep(flights, ttl)
end

-- Follow a leader, which waits where the first of them all would. Who lifts it owes for that, or an accomplice could
-- move any number of jobs ahead.
local function join(leader, job)
  local ttl = ttl_of(job)
  add(key('followers', job.line, leader.id), job.tag, member(job), ttl)
  keep((flight(job)), ttl)
  add(key('due'), job.deadline, job.id, ttl)
  local line, tag = leader.line, tonumber(leader.tag)
  if (job.line == line and tonumber(job.tag) < tag) or (job.line == 'paid' and line == 'free') then
    bill(job)
    call('HSET', key('job', job.id), 'billed', '1')
    local waits = leader.state == 'queued'
    if waits then leave({leader}) end
    change(leader, {line = job.line, tag = job.tag})
    if waits then enter(leader) end
  end
end

local function demand(model)
  local minute = key('demand', math.floor(now / 60000))
  if call('HINCRBY', minute, model, 1) == 1 then keep(minute, DEMAND_MS) end
end

local function refund(job)
  if not job.charge then return end
  local time = call('TIME')
  call('XADD', key('refunds'), 'MINID', '~', time[1] * 1000 - REFUNDS_MS, '*',
    'charge', job.charge, 'price', job.price, 'day', math.floor(job.enqueued / 86400000))
  keep(key('refunds'), REFUNDS_MS)
end
