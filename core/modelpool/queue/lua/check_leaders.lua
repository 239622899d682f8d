-- Has each job that others follow an end in store for them? ARGV: repair ('1'), ids. Returns {problem, id, …}; what a
-- repair leaves undone of a large crowd is found again.
local repair = ARGV[2] == '1'
local answer = {}

local function move(from, leader)
  for _, line in ipairs(LINES) do
    local popped = call('ZPOPMIN', key('followers', line, from), CHUNK)
    for i = 1, #popped, 2 do
      local follower = read(id_of(popped[i]))
      if follower and follower.state == 'following' then rejoin(leader, follower) end
    end
  end
end

for i = 3, #ARGV do
  local id = ARGV[i]
  local follower, leader = first_follower(id), read(id)
  local ended = leader and leader.finished
  local settling = ended and (leader.state == 'succeeded' or leader.state == 'failed')
  local named = follower and leader_of(follower)
  local fine = (leader and not ended and named == id) or (settling and call('ZSCORE', key('due'), id))
  if follower and not fine then
    answer[#answer + 1], answer[#answer + 2] = 'leader gone', id
    local other = named and named ~= id and read(named)
    if not repair then -- only told
    elseif settling then
      add(key('due'), now, id, RECORD_MS) -- the reaper ends the followers alike
    elseif other and not other.finished then
      move(id, other)
    elseif leader and not ended then
      lead({id = id, digest = follower.digest}, ttl_of(follower))
    else
      promote({id = id, digest = follower.digest})
    end
  end
end
write_tally()
return answer
