-- What waits and runs: {model, what, count, …} for every model seen, where what is a lane, 'work' (ms), 'running' or
-- 'oldest' (the earliest time of enqueue among the heads of the lines).
local rows, models = {}, {}
local function tell_of(model, what, amount)
  if not models[model] then
    models[model] = {model}
    rows[#rows + 1] = models[model]
  end
  table.insert(models[model], what)
  table.insert(models[model], amount)
end

local tally = call('HGETALL', key('tally'))
for i = 1, #tally, 2 do
  local model, what = tally[i]:match('^(%S+) (%S+)$')
  if model then tell_of(model, what, number(tally[i + 1]) or 0) end
end
for model in pairs(models) do
  for _, line in ipairs(LINES) do
    local name = call('ZRANGE', key('line', line, model), 0, 0)[1]
    local since = name and call('HGET', key('job', id_of(name)), 'enqueued')
    if since then tell_of(model, 'oldest', since) end
  end
end
return rows
