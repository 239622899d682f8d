-- Is every entry of a sorted set, or of the flights, there rightfully? ARGV: repair ('1'), the set's kind, its name,
-- members. Returns {problem, id, …}, of flights {problem, digest, …}.
local repair, kind, place = ARGV[2] == '1', ARGV[3], ARGV[4]
local answer = {}

local function belongs(job, name)
  if kind == 'due' then return not job.finished or has_followers(job.id) end
  if member(job) ~= name then return false end
  if kind == 'followers' then return job.state == 'following' end
  if job.state ~= 'queued' then return false end
  for _, its in ipairs(places(job)) do
    if its == place then return true end
  end
  return false
end

local function check_flight(name)
  local id = call('HGET', place, name)
  local job = id and look(id)
  if not id or (job and not job.finished) then return end
  answer[#answer + 1], answer[#answer + 2] = 'flight to nowhere', place:sub(-FLIGHT_DIGITS) .. name
  if repair then call('HDEL', place, name) end
end

local function check_member(name)
  local id = kind == 'due' and name or id_of(name)
  local job = look(id)
  if job and not is_sound(job) then return end -- the check of the records tells
  if not (job and belongs(job, name)) and call('ZSCORE', place, name) then
    answer[#answer + 1], answer[#answer + 2] = job and 'entry astray' or 'entry of nobody', id
    if repair then call('ZREM', place, name) end
    if repair and kind == 'followers' then go_back(place:match('[^:]*$')) end
  end
end

for i = 5, #ARGV do
  if kind == 'flight' then check_flight(ARGV[i]) else check_member(ARGV[i]) end
end
return answer
