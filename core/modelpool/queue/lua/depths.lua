-- What waits and runs: {model, running, work ms, oldest, lane, count, …} for every model seen.
local answer = {}
for _, model in ipairs(call('SMEMBERS', key('models'))) do
  local row = {model, 0, 0, ''}
  local counts = call('HGETALL', key('depth', model))
  for i = 1, #counts, 2 do
    if counts[i] == 'running' then row[2] = counts[i + 1]
    elseif counts[i] == 'work' then row[3] = counts[i + 1]
    else row[#row + 1] = counts[i]; row[#row + 1] = counts[i + 1] end
  end
  for _, line in ipairs(LINES) do
    local name = call('ZRANGE', key('line', line, model), 0, 0)[1]
    local since = name and call('HGET', key('job', id_of(name)), 'enqueued')
    if since and (row[4] == '' or tonumber(since) < tonumber(row[4])) then row[4] = since end
  end
  answer[#answer + 1] = row
end
return answer
