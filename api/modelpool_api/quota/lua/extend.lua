-- Let a reservation wait anew for its job. ARGV: now, charge. Returns 1; 0 when it has been returned.
local state = call('HGET', key('charge', ARGV[2]), 'state')
if state == 'reserved' then
  call('ZADD', key('pending'), now, ARGV[2])
  call('PEXPIRE', key('pending'), KEEP_MS)
end
return (state == 'reserved' or state == 'kept') and 1 or 0
