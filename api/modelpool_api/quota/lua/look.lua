-- What has been used. ARGV: now, day, then counters. Returns {'ok', now, used…} or {'day', now}.
local day = tonumber(ARGV[2])
if math.floor(now / DAY_MS) ~= day then return {'day', now} end
local answer = {'ok', now}
for i = 3, #ARGV do answer[i] = tonumber(call('GET', key('use', day, ARGV[i])) or 0) end
return answer
