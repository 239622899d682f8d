-- Return reservations that have waited too long for their job. ARGV: now. Returns how many were looked at and returned.
local waiting = call('ZRANGEBYSCORE', key('pending'), '-inf', now - WAIT_MS, 'LIMIT', 0, CHUNK)
local returned = 0
for _, id in ipairs(waiting) do
  local witness = call('HGET', key('charge', id), 'witness')
  if witness and call('EXISTS', witness) == 1 then
    call('HSET', key('charge', id), 'state', 'kept')
  else
    returned = returned + give_back(id, 'returned')
  end
  call('ZREM', key('pending'), id)
end
return {#waiting, returned}
