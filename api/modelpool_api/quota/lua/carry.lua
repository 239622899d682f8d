-- Begin an account's counter with what its owner has used today without it, and let the account take over the rest: what
-- the owner alone had is used up. ARGV: now, day, the charge that the account is made under, the account's counter, then
-- counter and limit ('' for what others share: that is only looked at) in turn. Returns what the account's counter stands
-- at; -1 when the charge has been returned. What is moved is written down in the charge and goes back with it.
local day, charge = tonumber(ARGV[2]), key('charge', ARGV[3])
if math.floor(now / DAY_MS) ~= day then return 0 end
local rest = (day + 1) * DAY_MS - now
local account = key('use', day, ARGV[4])
local state, moved = unpack(call('HMGET', charge, 'state', 'moved'))
if state ~= 'reserved' then return -1 end
if moved then return tonumber(call('GET', account) or 0) end -- our own reply was lost
local most, moves = 0, {}
local function move(name, counter, amount)
  call('INCRBY', name, amount)
  call('PEXPIRE', name, life(counter, rest))
  moves[#moves + 1] = name .. ' ' .. amount
end
for i = 5, #ARGV, 2 do
  local counter, limit = key('use', day, ARGV[i]), tonumber(ARGV[i + 1])
  local used = tonumber(call('GET', counter) or 0)
  most = math.max(most, used)
  if limit and used < limit then move(counter, ARGV[i], limit - used) end
end
move(account, ARGV[4], most)
call('HSET', charge, 'moved', table.concat(moves, ' '))
return most
