-- Begin a counter with what has been used elsewhere today. ARGV: now, day, counter, units. Returns what it stands at.
local day = tonumber(ARGV[2])
if math.floor(now / DAY_MS) ~= day then return 0 end
local counter = key('use', day, ARGV[3])
call('SET', counter, ARGV[4], 'NX', 'PX', life(ARGV[3], (day + 1) * DAY_MS - now))
return tonumber(call('GET', counter))
