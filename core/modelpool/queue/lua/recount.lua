-- Do the tally's counts agree with what stands and runs? ARGV: repair ('1'), the most jobs to count, models.
-- Returns {counter, …}, or nil when there are too many to count while everybody waits.
local repair, limit = ARGV[2] == '1', tonumber(ARGV[3])
local counts, jobs = {}, call('ZCARD', key('due'))
local function more(model, what, amount)
  local name = model .. ' ' .. what
  counts[name] = (counts[name] or 0) + amount
end

local models = {}
for i = 4, #ARGV do models[ARGV[i]] = true end
local tally = call('HGETALL', key('tally'))
for i = 1, #tally, 2 do
  local model = tally[i]:match('^(%S+) %S+$')
  if model then
    models[model] = true
    counts[tally[i]] = 0
  end
end
for model in pairs(models) do
  for _, line in ipairs(LINES) do jobs = jobs + call('ZCARD', key('line', line, model)) end
end
if jobs > limit then return false end

for model in pairs(models) do
  for _, line in ipairs(LINES) do
    for _, name in ipairs(call('ZRANGE', key('line', line, model), 0, -1)) do
      local lane, work = unpack(call('HMGET', key('job', id_of(name)), 'lane', 'work'))
      if lane then
        more(model, lane, 1)
        more(model, 'work', milliseconds(work))
      end
    end
  end
end
for _, id in ipairs(call('ZRANGE', key('due'), 0, -1)) do
  local state, model = unpack(call('HMGET', key('job', id), 'state', 'model'))
  if state == 'running' then more(model, 'running', 1) end
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
