-- Idempotency key, then cache, then an identical job in flight, then the queue.
-- ARGV: id, body, idempotency key, fingerprint, use cache ('1'), life in ms, then fields and values of the record.
-- Returns {'queued', id, now, position}, {'joined', id, now, position, leader}, {'cached', id, now, result},
-- {'repeated', id} or {'conflict', id}.
local id, body, idempotency, fingerprint, use_cache, life = unpack(ARGV, 2, 7)

if call('EXISTS', key('job', id)) == 1 then return {'repeated', id} end -- our own reply was lost
if idempotency ~= '' then
  local before = call('GET', key('idempotency', idempotency))
  if before then
    local first, print = before:match('^(%S+) ?(.*)$')
    return {print == fingerprint and 'repeated' or 'conflict', first}
  end
end

local job = {seq = 1, enqueued = now, deadline = now + life, attempts = 0}
for i = 8, #ARGV, 2 do job[ARGV[i]] = ARGV[i + 1] end
local ttl = ttl_of(job)

local cached, leading = unpack(call('MGET', key('cache', job.digest), flight(job)))
cached = use_cache == '1' and cached
local leader = use_cache == '1' and not cached and leading and read(leading)
if cached then
  job.state, job.cached, job.result, job.finished = 'succeeded', '1', cached, now
else
  job.state = leader and 'following' or 'queued'
  job.ticket = string.format('%0' .. TICKET_DIGITS .. 'x', call('HINCRBY', key('tally'), 'ticket', 1))
  -- start = max(V, user_finish), where V is never ahead of the line that the job joins: that line may have stood
  -- still while others moved on, and a newcomer shall not wait for all of somebody's backlog.
  local reached, mixes = unpack(call('HMGET', key('tally'), job.line, 'mixes'))
  if mixes then job.mixable = '1' end
  reached = tonumber(reached or 0)
  local head = tonumber(call('ZRANGE', key('line', job.line, job.model), 0, 0, 'WITHSCORES')[2] or reached)
  job.tag = math.max(debt_of(job), math.min(reached, head))
end

local fields, n = {}, 0
for field, value in pairs(job) do
  fields[n + 1], fields[n + 2] = field, value
  n = n + 2
end
call('HSET', key('job', id), unpack(fields))
job.id = id
call('PEXPIRE', key('job', id), ttl)
call('SET', key('body', id), body, 'PX', ttl)
if idempotency ~= '' then call('SET', key('idempotency', idempotency), id .. ' ' .. fingerprint, 'PX', ttl) end
tell(job)
if cached then return {'cached', id, now, cached} end

if leader then
  join(leader, job)
  return {'joined', id, now, ahead(leader), leader.id}
end

-- Who wants no cache follows nobody, and leads only where nobody does.
if use_cache == '1' or not leading then call('SET', flight(job), id, 'PX', ttl) end
bill(job)
enter(job)
demand(job.model)
ring('operator', job.model)
return {'queued', id, now, ahead(job)}
