-- Do the tally's counts agree with what waits and runs? ARGV: repair ('1'), the most jobs to count.
-- Returns {counter, …}, or nil when there are too many to count while everybody waits.
local repair, limit = ARGV[2] == '1', tonumber(ARGV[3])
if call('ZCARD', key('due')) > limit then return false end

local counts = {}
local function more(name, amount) counts[name] = (counts[name] or 0) + amount end

local tally = call('HGETALL', key('tally'))
for i = 1, #tally, 2 do
  if tally[i]:find(' ', 1, true) then counts[tally[i]] = 0 end
end
for _, id in ipairs(call('ZRANGE', key('due'), 0, -1)) do
  local state, model, lane, work = unpack(call('HMGET', key('job', id), 'state', 'model', 'lane', 'work'))
  if not model then -- damage, which the check of the records tells
  elseif state == 'queued' and lane and tonumber(work or '') then
    more(model .. ' ' .. lane, 1)
    more(model .. ' work', milliseconds(work))
  elseif state == 'running' then
    more(model .. ' running', 1)
  end
end

local answer = {}
for name, count in pairs(counts) do
  if tonumber(call('HGET', key('tally'), name) or 0) ~= count then
    answer[#answer + 1] = name
    if repair then call('HSET', key('tally'), name, count) end
  end
end
if repair and answer[1] then keep(key('tally'), RECORD_MS) end
return answer
