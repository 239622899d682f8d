-- Shared by every verb: the loader puts constants and this file in front of each script.
--
-- KEYS[1] is the pool's prefix, ARGV[1] the time in ms (empty: Redis's own clock). Keys of a pool:
--   job:<id>       hash   what the verbs need of a job, and the request, opaque. Redis keeps a hash compact while every
--                         value is short, and a key of its own costs as much as half a request: so long values lie in
--                         slices (body, b2, b3, …), and what is usual is left out (the line of a job that stands in its
--                         lane's, no attempts, the first seq, the shape where nobody mixes). `own` is the tag that a
--                         free job goes back to when no paid one follows it any more, `payer` the user whose virtual time
--                         the tag is where it is another's: of who lifted it, or lent it a turn; `own_payer` that of `own`
--   line:<line>:<model>, batch:<line>:<key>, shape:<line>:<shape>
--                  zset   queued jobs by virtual start time; a solo job stands in its line only, and one that came
--                         before any worker could mix parameters is in no shape set, which saves memory where none can
--   due            zset   every live job by the time at which somebody must look at it (lease or deadline)
--   flight:<digest's first digits>
--                  hash   by the next digits (half a digest tells them apart): the job in flight that identical ones follow
--   followers:<line>:<id> zset   who follows it
--   debt:<line>:<subject> the virtual time at which a user's next job may start
--   served:<line>:<model>:<subject> the virtual time at which what was claimed late of a user's would be done
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

-- What a record says; nothing when there is none.
local function look(id)
  local flat = call('HGETALL', key('job', id))
  if not flat[1] then return nil end
  -- With room for what a record usually holds: a table that grows is made anew, again and again.
  local job = {id = id, seq = '1', attempts = '0', state = nil, enqueued = nil, deadline = nil, ticket = nil, tag = nil,
    lane = nil, subject = nil, model = nil, work = nil, price = nil, digest = nil, key = nil, shape = nil, charge = nil,
    trace = nil, own = nil, payer = nil, body = nil, b2 = nil, b3 = nil, b4 = nil, b5 = nil, b6 = nil, b7 = nil, b8 = nil, line = nil,
    lease = nil, slot = nil, started = nil, company = nil}
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  job.line = job.line or line_of(job.lane)
  return job
end

-- A number, written so that Python reads the same: Lua takes 0x1 and nan for one, too. Nothing when it is none.
local function number(text)
  local value = text and text:find('^%-?%d[%d.eE+-]*$') and tonumber(text)
  return value and math.abs(value) < math.huge and value or nil
end

local function is_count(text) return text and #text < 16 and text:find('^%d+$') end

-- Whether a record has all that no job can do without, and numbers where there must be some.
local function is_sound(job)
  return STATES[job.state] and WEIGHT[job.lane] and job.subject and job.model and job.digest and job.key and job.body
    and is_count(job.price) and is_count(job.enqueued) and is_count(job.deadline) and is_count(job.seq) and is_count(job.attempts)
    and number(job.work) and (is_count(job.finished) or not job.finished and number(job.tag) and (not job.own or number(job.own))
    and job.ticket and #job.ticket == TICKET_DIGITS and job.ticket:find('^%x+$'))
end

-- A job. A record with holes is as good as none: nobody can run or read it, and the reaper or the check puts it aside.
local function read(id)
  local job = look(id)
  return job and is_sound(job) and job or nil
end

-- As much of a job as it takes to finish it.
local function glance(id)
  local lease, state, seq, digest, model = unpack(call('HMGET', key('job', id), 'lease', 'state', 'seq', 'digest', 'model'))
  seq = seq or '1'
  return {id = id, lease = lease, state = tonumber(seq) and state, seq = seq, digest = digest, model = model}
end

-- What the slices of a field are called whose value may be long.
local function slice_name(field, n)
  return SLICED[field][n] or field:sub(1, 1) .. n
end

-- Put a field and its value behind `args`; a long one in slices, as many as it takes, but not thousands. A longer value
-- never has fewer slices, or the last ones of a shorter one would be read behind it.
local function put(args, field, value)
  local n = #args
  if not SLICED[field] or #value <= SLICE then
    args[n + 1], args[n + 2] = field, value
    return
  end
  local length = #value
  local slices = math.min(SLICES, math.ceil(length / SLICE))
  for i = 1, slices do
    args[n + 1], args[n + 2] = slice_name(field, i),
      value:sub(math.floor(length * (i - 1) / slices) + 1, math.floor(length * i / slices))
    n = n + 2
  end
end

-- A value of a record that may lie in slices. Such values only grow.
local function whole(job, field)
  local names = SLICED[field]
  local slices, n, slice = {job[field]}, 2, job[names[2]]
  if not slice then return slices[1] end
  while slice do
    slices[n], n = slice, n + 1
    slice = job[names[n] or slice_name(field, n)]
  end
  return table.concat(slices)
end

local function ring(audience, model) call('PUBLISH', key('wake', audience), model) end

-- Redis writes a number in full precision, and slowly; whole ones are sooner written here.
local function whole_number(number) return string.format('%d', number) end

-- Keep a shared key at least as long as a job's record; the slack saves most of the writes. `lives`: what this script
-- knows of the keys that lose no member meanwhile, so that it looks once.
local function keep(name, ttl, lives)
  local life = lives and lives[name] or call('PTTL', name)
  if life < ttl then
    life = ttl + SLACK_MS
    call('PEXPIRE', name, whole_number(life))
  end
  if lives then lives[name] = life end
end

local function add(name, score, entry, ttl, lives)
  call('ZADD', name, score, entry)
  keep(name, ttl, lives)
end

local function ttl_of(job) return job.ttl or math.max(0, job.deadline - now) + RECORD_MS end

-- The tally as this script knows it: a field is read once, and what has changed is written by write_tally, with which
-- every script ends that counts or notes anything.
local tally, noted, counted, tally_ttl = {}, {}, {}, 0

-- What is no number counts as none; the check mends it.
local function recall(fields)
  for i, value in ipairs(call('HMGET', key('tally'), unpack(fields))) do
    tally[fields[i]] = value and number(value) and value or false
  end
end

-- The value of a field, false when it has none.
local function known(field)
  if tally[field] == nil then recall({field}) end
  return tally[field]
end

-- As a number, 0 when it has none.
local function known_number(field)
  local value = tonumber(known(field) or 0)
  if not noted[field] then tally[field] = value end -- else it is written as it was noted
  return value
end

-- Whole numbers may be noted as such.
local function note(field, value) tally[field], noted[field] = value, true end

local function count(job, what, amount)
  local field = job.model .. ' ' .. what
  counted[field] = (counted[field] or 0) + amount
end

local function write_tally()
  local unknown, args = {}, {}
  for field in pairs(counted) do
    if tally[field] == nil then unknown[#unknown + 1] = field end
  end
  if unknown[1] then recall(unknown) end
  for field, amount in pairs(counted) do note(field, (tally[field] or 0) + amount) end
  for field in pairs(noted) do
    local value = tally[field]
    args[#args + 1], args[#args + 2] = field, type(value) == 'number' and whole_number(value) or value
  end
  local added = args[1] and call('HSET', key('tally'), unpack(args)) or 0
  if tally_ttl > 0 or added > 0 then keep(key('tally'), math.max(tally_ttl, RECORD_MS)) end
end
