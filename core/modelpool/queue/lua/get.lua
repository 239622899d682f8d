-- The record: {body, leader, field, value, …}, or nil. ARGV: id.
local job = read(ARGV[2])
if not job then return false end
local leader = job.state == 'following' and call('GET', flight(job))
return {call('GET', key('body', job.id)), leader, unpack(call('HGETALL', key('job', job.id)))}
