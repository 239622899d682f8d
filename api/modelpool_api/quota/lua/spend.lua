-- A reservation whose request came to nothing stays used, and is repeated by nobody. ARGV: now, charge. Returns 1; 0 when it
-- has been returned.
local charge = key('charge', ARGV[2])
local state, again = unpack(call('HMGET', charge, 'state', 'repeat'))
if state == 'reserved' then
  call('HSET', charge, 'state', 'spent')
  call('ZREM', key('pending'), ARGV[2])
  if again and call('GET', again) == ARGV[2] then call('DEL', again) end
end
return (state == 'reserved' or state == 'spent') and 1 or 0
