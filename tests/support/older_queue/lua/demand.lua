-- Jobs asked for: {model, count, …} of each of the last whole minutes, oldest first. ARGV: minutes.
local current = math.floor(now / 60000)
local answer = {}
for minute = current - ARGV[2], current - 1 do
  answer[#answer + 1] = call('HGETALL', key('demand', minute))
end
return answer
