-- Begin an account's counter with what its owner has used today without it, and let the account take over the rest: what
-- the owner alone had is used up. ARGV: now, day, the account's counter, then counter and limit ('' for what others
-- share: that is only looked at) in turn. Returns what the account's counter stands at.
local day = tonumber(ARGV[2])
if math.floor(now / DAY_MS) ~= day then return 0 end
local rest = (day + 1) * DAY_MS - now
local account = key('use', day, ARGV[3])
local begun = call('GET', account)
if begun then return tonumber(begun) end -- our own reply was lost
local most = 0
for i = 4, #ARGV, 2 do
  local counter, limit = key('use', day, ARGV[i]), tonumber(ARGV[i + 1])
  local used = tonumber(call('GET', counter) or 0)
  most = math.max(most, used)
  if limit and used < limit then
    call('INCRBY', counter, limit - used)
    call('PEXPIRE', counter, life(ARGV[i], rest))
  end
end
call('SET', account, most, 'PX', life(ARGV[3], rest))
return most
