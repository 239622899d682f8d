-- How jobs end, and what follows from it. Comes after lines.lua in the verbs that can end a job.

-- A job waits in line, again or for the first time.
local function stand(job, changes)
  changes.state = 'queued'
  for field, value in pairs(changes) do job[field] = value end
  enter(job)
  change(job, changes)
  ring('workers', job.model)
end

-- The tag with which a follower would stand in line now.
local function turn_of(follower)
  local tag = tonumber(follower.tag)
  return follower.billed and tag or math.max(tag, debt_of(follower))
end

-- Where a leader stands with those who follow it in its own line: no later than the first of them would, who then gives
-- that turn, because to follow costs nothing and it could be lent again and again.
local function lent_turn(leader)
  local followers = key('followers', leader.line, leader.id)
  local name = call('ZRANGE', followers, 0, 0)[1]
  local helper = name and read(id_of(name))
  local turn = helper and helper.state == 'following' and turn_of(helper) or math.huge
  if turn >= tonumber(leader.tag) then return {tag = leader.tag} end
  helper.tag = turn
  if not helper.billed then bill(helper) end
  call('ZADD', followers, turn, name)
  call('HSET', key('job', helper.id), 'tag', turn, 'billed', '1')
  return {tag = turn, payer = helper.subject}
end

-- The first of the leader's followers takes its place. Unless it lifted the leader, only now does the job cost its user
-- virtual time, so it comes after what the user has asked for since.
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
        heir.tag = turn_of(heir)
        if not heir.billed then bill(heir) end
        stand(heir, lent_turn(heir))
        return
      end
    end
  end
  call('HDEL', flight(leader))
end

local function has_followers(...)
  local sets = {}
  for i, id in ipairs({...}) do sets[2 * i - 1], sets[2 * i] = key('followers', 'paid', id), key('followers', 'free', id) end
  return call('EXISTS', unpack(sets)) > 0
end

-- The first of all who follow, whatever the leader's record says of their digest.
local function first_follower(id)
  for _, line in ipairs(LINES) do
    local name = call('ZRANGE', key('followers', line, id), 0, 0)[1]
    local follower = name and read(id_of(name))
    if follower and follower.state == 'following' then return follower end
  end
end

-- Follow another leader than so far.
local function rejoin(leader, job)
  if join(leader, job) then ring('workers', leader.model) end
end

-- A free leader that paid followers had lifted goes back when the last of them has left, with its money.
local function go_back(id)
  local leader = read(id)
  if not leader or leader.finished or not leader.own or call('EXISTS', key('followers', 'paid', id)) == 1 then return end
  call('HDEL', key('job', id), 'own', 'payer', 'own_payer')
  local place = lent_turn({id = id, line = line_of(leader.lane), tag = leader.own})
  place.line, place.payer = line_of(leader.lane), place.payer or leader.own_payer
  move(leader, place)
end

-- Follow no more.
local function part(leader_id, job)
  call('ZREM', key('followers', job.line, leader_id), member(job))
  if job.line == 'paid' then go_back(leader_id) end
end

-- Followers of an ended leader end like it, a chunk in all that one script does: while some may be left, the leader stays
-- due and the reaper goes on.
local room = CHUNK
local function share(leader)
  local moved = 0
  for _, line in ipairs(LINES) do
    local popped = room > 0 and call('ZPOPMIN', key('followers', line, leader.id), room) or {}
    for i = 1, #popped, 2 do
      local follower = read(id_of(popped[i]))
      room = room - 1
      if follower and follower.state == 'following' then
        call('ZREM', key('due'), follower.id)
        change(follower, {state = leader.state, finished = now, result = whole(leader, 'result'), error = whole(leader, 'error')})
        if leader.state == 'failed' then refund(follower) end
        moved = moved + 1
      end
    end
  end
  if room > 0 then
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
-- renewal are answered from it. `alone`: the caller knows that nobody follows.
local function close(job, state, changes, alone)
  local was, leader = job.state, leader_of(job)
  local begun = was == 'running'
  if was == 'following' and leader then
    -- Who has moved ahead what runs by now has had it run: else whoever pays could have others' jobs run first, for nothing.
    if state == 'cancelled' and job.billed then
      local its_state, started = unpack(call('HMGET', key('job', leader), 'state', 'started'))
      if its_state == 'running' then begun, changes.started = true, started or now_text end
    end
    part(leader, job)
  end
  changes.state, changes.finished = state, now_text
  change(job, changes)
  if state == 'failed' or state == 'expired' or (state == 'cancelled' and not begun) then refund(job) end
  if leader ~= job.id then return end
  if state == 'succeeded' or state == 'failed' then
    call('HDEL', flight(job))
    if not alone and has_followers(job.id) then share(job) end
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
  changes.lease, changes.slot, changes.started = '', '', ''
  stand(job, changes)
end

-- An attempt came to nothing. In company it may have been anybody's fault: alone next time, nothing counted.
local function retry(job, failure)
  local attempts = tonumber(job.attempts)
  if job.company == '1' then attempts = attempts + 1 end
  if attempts >= MAX_ATTEMPTS then
    conclude(job, 'failed', {attempts = attempts, error = failure})
  else
    local earlier = job.failures and whole(job, 'failures') .. '\n' or ''
    local failures = string.format('%s%d %s %s', earlier, now, job.slot or '', failure) -- at most one in company and two alone
    requeue(job, {attempts = attempts, solo = '1', failures = failures})
  end
end

-- A job with holes in its record ends as far as its fields tell: it is refunded, and who followed it waits instead. Where it
-- is still named, verbs pass it over, and the check removes that.
local function put_aside(job)
  job.work = number(job.work) or 0 -- nothing else may be taken off the tally
  if job.state == 'running' then pcall(stop, {job}) end
  if job.state == 'queued' then pcall(leave, {job}) end
  if job.state == 'following' and job.digest and leader_of(job) then pcall(part, leader_of(job), job) end
  call('ZREM', key('due'), job.id)
  if not job.finished then
    job.state, job.seq = 'failed', whole_number((tonumber(job.seq) or 1) + 1)
    tell(job)
    if not is_count(job.enqueued) then job.enqueued = now_text end -- most likely it was charged today
    if is_count(job.price) then refund(job) end
  end
  call('DEL', key('job', job.id))
  local one = first_follower(job.id) or job
  if one.digest and leader_of(one) == job.id then promote({id = job.id, digest = one.digest}) end
end

-- What a job needs by whose time it is. Returns how many jobs changed their state.
local function look_after(id)
  local job = look(id)
  if job and job.finished and job.state then return share(job) end
  if job and not is_sound(job) then
    put_aside(job)
  elseif job and now >= tonumber(job.deadline) then
    conclude(job, 'expired', {error = EXPIRED})
  elseif job and job.state == 'running' then
    retry(job, WORKER_LOST)
  else
    call('ZREM', key('due'), id) -- damage: it is lost, or waits and nobody needs to look before its deadline
    if job then add(key('due'), job.deadline, id, ttl_of(job)) end
    return 0
  end
  return 1
end

-- Look after what is due, a chunk of entries: lapsed leases, passed deadlines, followers of an ended leader.
-- Returns how many jobs changed their state, and whether there may be more that is due.
local function settle()
  local moved = 0
  local due = call('ZRANGEBYSCORE', key('due'), '-inf', now_text, 'LIMIT', 0, CHUNK)
  for _, id in ipairs(due) do
    if room <= 0 then return moved, true end
    local before = {}
    for field, amount in pairs(counted) do before[field] = amount end
    local done, answer = pcall(look_after, id)
    if done then
      moved = moved + answer
    else -- damage of a kind that nobody foresaw: the others do not wait for it
      counted = before
      redis.log(redis.LOG_WARNING, 'modelpool: job ' .. id .. ' is put off: ' .. (type(answer) == 'table' and answer.err or answer))
      call('ZREM', key('due'), id)
      add(key('due'), now + MENDED_LEASE_MS, id, RECORD_MS)
    end
  end
  return moved, #due == CHUNK or room <= 0
end
