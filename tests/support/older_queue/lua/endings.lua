-- How jobs end, and what follows from it. Comes after prelude.lua in the verbs that can end a job.

-- The first of the leader's followers takes its place. Unless it lifted the leader, only now does the job cost its user
-- virtual time, so it comes after what the user has asked for since; but it waits no longer than the next of the
-- followers would.
local function promote(leader)
  for _, line in ipairs(LINES) do
    for _ = 1, CHUNK do
      local name = call('ZPOPMIN', key('followers', line, leader.id))[1]
      if not name then break end
      local heir = read(id_of(name))
      if heir and heir.state == 'following' then
        for _, other in ipairs(LINES) do
          local followers = key('followers', other, leader.id)
          if call('EXISTS', followers) == 1 then call('RENAME', followers, key('followers', other, heir.id)) end
        end
        lead(heir, ttl_of(heir))
        if not heir.billed then
          heir.tag = math.max(heir.tag, debt_of(heir))
          bill(heir)
        end
        local follower = call('ZRANGE', key('followers', heir.line, heir.id), 0, 0, 'WITHSCORES')
        change(heir, {state = 'queued', tag = math.min(heir.tag, follower[2] or heir.tag)})
        enter(heir)
        return
      end
    end
  end
  call('HDEL', flight(leader))
end

local function has_followers(id)
  return call('EXISTS', key('followers', LINES[1], id), key('followers', LINES[2], id)) > 0
end

-- Followers of an ended leader end like it, a chunk at a time: while some are left, the leader stays due and the
-- reaper goes on.
local function share(leader)
  local left, moved = CHUNK, 0
  for _, line in ipairs(LINES) do
    local popped = call('ZPOPMIN', key('followers', line, leader.id), left)
    for i = 1, #popped, 2 do
      local follower = read(id_of(popped[i]))
      left = left - 1
      if follower and follower.state == 'following' then
        call('ZREM', key('due'), follower.id)
        change(follower, {state = leader.state, finished = now, result = whole(leader, 'result'), error = whole(leader, 'error')})
        if leader.state == 'failed' then refund(follower) end
        moved = moved + 1
      end
    end
  end
  if left > 0 then
    call('ZREM', key('due'), leader.id)
  else
    add(key('due'), now, leader.id, RECORD_MS)
  end
  return moved
end

-- Jobs of one model run no more. Nobody looks after them until they stand in line or have ended.
local function stop(jobs)
  local ids = {}
  for i, job in ipairs(jobs) do ids[i] = job.id end
  call('ZREM', key('due'), unpack(ids))
  count(jobs[1], 'running', -#jobs)
end

-- Write down how a job has ended, and see to whom its end concerns: succeeded and failed are true of every identical
-- job; a cancelled or expired leader only hands over. The lease stays in the record: a repeated finish and a late
-- renewal are answered from it.
local function close(job, state, changes)
  local was, leader = job.state, leader_of(job)
  if was == 'following' and leader then call('ZREM', key('followers', job.line, leader), member(job)) end
  changes.state, changes.finished = state, now_text
  change(job, changes)
  if state == 'failed' or state == 'expired' or (state == 'cancelled' and was ~= 'running') then refund(job) end
  if leader ~= job.id then return end
  if state == 'succeeded' or state == 'failed' then
    call('HDEL', flight(job))
    if has_followers(job.id) then share(job) end
  else
    promote(job)
  end
end

-- End a job for good.
-- The first write takes something away, so it is admitted, and all that follows, when Redis's memory is full.
local function conclude(job, state, changes)
  if job.state == 'running' then
    stop({job})
  else
    call('ZREM', key('due'), job.id)
    if job.state == 'queued' then leave({job}) end
  end
  close(job, state, changes)
end

-- Back to its place in the line.
local function requeue(job, changes)
  stop({job})
  changes.state, changes.lease, changes.slot, changes.started = 'queued', '', '', ''
  change(job, changes)
  enter(job)
end

-- An attempt came to nothing. In company it may have been anybody's fault: alone next time, nothing counted.
local function retry(job, failure)
  local attempts = tonumber(job.attempts)
  if job.company == '1' then attempts = attempts + 1 end
  if attempts >= MAX_ATTEMPTS then
    conclude(job, 'failed', {attempts = attempts, error = failure})
  else
    local earlier = job.failures and whole(job, 'failures') .. '\n' or ''
    local failures = string.format('%s%d %s %s', earlier, now, job.slot, failure) -- at most one in company and two alone
    requeue(job, {attempts = attempts, solo = '1', failures = failures})
  end
end

-- Look after what is due, at most `limit` entries: lapsed leases, passed deadlines, followers of an ended leader.
-- Returns how many jobs changed their state, and whether there were more than it looked at.
local function settle(limit)
  local moved = 0
  local due = call('ZRANGEBYSCORE', key('due'), '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local job = read(id)
    if not job or not (job.finished or job.deadline) then -- lost, or half of it: the check mends those
      call('ZREM', key('due'), id)
    elseif job.finished then
      moved = moved + share(job)
    else
      moved = moved + 1
      if now >= tonumber(job.deadline) then conclude(job, 'expired', {error = EXPIRED}) else retry(job, WORKER_LOST) end
    end
  end
  return moved, #due == limit
end
