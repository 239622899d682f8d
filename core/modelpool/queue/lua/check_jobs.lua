-- Does each job stand where its record says? ARGV: repair ('1'), ids. Returns {problem, id, …}.
-- A follower in the set of no leader that its digest names is 'follows nobody'; only 'adopt' as repair finds it one,
-- because it may stand with a leader that has ended and is being settled.
local repair, adopt = ARGV[2] ~= '', ARGV[2] == 'adopt'
local answer = {}
local function found(problem, job)
  answer[#answer + 1], answer[#answer + 2] = problem, job.id
  return repair
end

local function check_queued(job)
  for _, place in ipairs(places(job)) do
    local score = call('ZSCORE', place, member(job))
    if not score or tonumber(score) ~= tonumber(job.tag) then
      if found('not in line', job) then
        for _, each in ipairs(places(job)) do add(each, job.tag, member(job), ttl_of(job)) end
        ring('workers', job.model)
      end
      break
    end
  end
  -- A lifted leader waits by the virtual time of another user; and when its time is over its user owes nothing.
  local finish = job.tag + job.work / WEIGHT[job.lane]
  local own = (job.lane == 'paid') == (job.line == 'paid')
  if own and now < tonumber(job.deadline) and debt_of(job) < finish * (1 - 1e-9) and found('debt lost', job) then
    bill(job)
  end
end

local function check_running(job)
  local due = tonumber(call('ZSCORE', key('due'), job.id))
  if not job.lease or job.lease == '' then
    if found('no lease', job) then requeue(job, {}) end
  elseif (not due and found('no lease', job)) or (due and due > now + LONGEST_LEASE_MS and found('endless lease', job)) then
    -- A worker that lives renews it in time.
    add(key('due'), math.min(now + MENDED_LEASE_MS, job.deadline), job.id, ttl_of(job))
  end
end

local function check_following(job)
  local leader = leader_of(job)
  if leader and call('ZSCORE', key('followers', job.line, leader), member(job)) then return end
  found('follows nobody', job)
  if not adopt then return end
  leader = leader and read(leader)
  if leader and not leader.finished then return rejoin(leader, job) end
  add(key('followers', job.line, job.id), job.tag, member(job), ttl_of(job))
  promote(job) -- itself: the only one there
end

-- Whether the documents in a record can be read, and what is told of attempts.
local function is_legible(job)
  for line in (whole(job, 'failures') or ''):gmatch('[^\n]+') do
    if not pcall(cjson.decode, line:match('^%d+ %S* (.+)$')) then return false end
  end
  if job.started and job.started ~= '' and not is_count(job.started) then return false end
  for _, field in ipairs({'body', 'result', 'error'}) do
    if job[field] and job[field] ~= '' and not pcall(cjson.decode, whole(job, field)) then return false end
  end
  return true
end

for i = 3, #ARGV do
  local job = look(ARGV[i])
  if job and not (is_sound(job) and is_legible(job)) then
    local settling = job.finished and job.state and has_followers(job.id)
    if found('record cut', job) and not settling then put_aside(job) end
  elseif job and not job.finished then
    if tonumber(job.ticket, 16) > known_number('ticket') and found('tickets behind', job) then
      note('ticket', tonumber(job.ticket, 16))
    end
    local due = job.state ~= 'running' and tonumber(call('ZSCORE', key('due'), job.id) or -1)
    if due and due ~= tonumber(job.deadline) and found(due < 0 and 'no deadline' or 'deadline astray', job) then
      add(key('due'), job.deadline, job.id, ttl_of(job))
    end
    if job.state == 'queued' then check_queued(job) end
    if job.state == 'running' then check_running(job) end
    if job.state == 'following' then check_following(job) end
  end
end
write_tally()
return answer
