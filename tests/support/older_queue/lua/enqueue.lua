-- Idempotency key, then cache, then an identical job in flight, then the queue.
-- ARGV: id, body, idempotency key, fingerprint, use cache ('1'), life in ms, shape, then fields and values of the record.
-- Returns {'queued', id, now, position}, {'joined', id, now, position, leader}, {'cached', id, now, result},
-- {'repeated', id} or {'conflict', id}.
local id, body, idempotency, fingerprint, use_cache, life, shape = unpack(ARGV, 2, 8)

if call('EXISTS', key('job', id)) == 1 then return {'repeated', id} end -- our own reply was lost
if idempotency ~= '' then
  local before = call('GET', key('idempotency', idempotency))
  if before then
    local first, print = before:match('^(%S+) ?(.*)$')
    return {print == fingerprint and 'repeated' or 'conflict', first}
  end
end

local deadline = tostring(now + life)
local job = {id = id, seq = '1', enqueued = now_text, deadline = deadline, attempts = '0'}
for i = 9, #ARGV, 2 do job[ARGV[i]] = ARGV[i + 1] end
job.line = line_of(job.lane)
local ttl = ttl_of(job)

local cached = use_cache == '1' and call('GET', key('cache', job.digest))
local leading = not cached and leader_of(job)
local leader = use_cache == '1' and leading and read(leading)
if leader and leader.finished then leader = nil end
local record = {'enqueued', now_text, 'deadline', deadline}
if cached then
  job.state = 'succeeded'
  put(record, 'cached', '1')
  put(record, 'finished', now_text)
  put(record, 'result', cached)
else
  job.state = leader and 'following' or 'queued'
  job.ticket = string.format('%0' .. TICKET_DIGITS .. 'x', call('HINCRBY', key('tally'), 'ticket', 1))
  -- start = max(V, user_finish), where V is never ahead of the line that the job joins: that line may have stood
  -- still while others moved on, and a newcomer shall not wait for all of somebody's backlog.
  local clock = reached(job.line)
  if call('HEXISTS', key('tally'), 'mixes') == 1 then
    job.shape = shape
    put(record, 'shape', shape)
  end
  local head = tonumber(call('ZRANGE', key('line', job.line, job.model), 0, 0, 'WITHSCORES')[2] or clock)
  job.tag = string.format('%.17g', math.max(debt_of(job), math.min(clock, head)))
  put(record, 'ticket', job.ticket)
  put(record, 'tag', job.tag)
end
put(record, 'state', job.state)
for i = 9, #ARGV do record[#record + 1] = ARGV[i] end
put(record, 'body', body)
call('HSET', key('job', id), unpack(record))
call('PEXPIRE', key('job', id), ttl)
if idempotency ~= '' then call('SET', key('idempotency', idempotency), id .. ' ' .. fingerprint, 'PX', ttl) end
tell(job)
if cached then return {'cached', id, now, cached} end

if leader then
  join(leader, job)
  return {'joined', id, now, ahead(leader), leader.id}
end

-- Who wants no cache follows nobody, and leads only where nobody does.
if use_cache == '1' or not leading then lead(job, ttl) end
bill(job)
enter(job)
demand(job.model)
ring('operator', job.model)
return {'queued', id, now, ahead(job)}
