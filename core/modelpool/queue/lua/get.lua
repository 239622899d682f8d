-- The record: {body, leader, field, value, …}, or nil. ARGV: id.
local id = ARGV[2]
local flat = call('HGETALL', key('job', id))
if not flat[1] then return false end
local leader = false
if call('HGET', key('job', id), 'state') == 'following' then
  leader = call('GET', key('flight', call('HGET', key('job', id), 'digest')))
end
return {call('GET', key('body', id)), leader, unpack(flat)}
