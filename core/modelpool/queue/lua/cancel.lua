-- Cancel for the requester. ARGV: id, '1' to leave it alone when it runs.
-- Returns nothing when there is no such job, 0 when it has ended otherwise.
local job = read(ARGV[2])
if not job then return false end
if job.finished then return job.state == 'cancelled' and 1 or 0 end
if job.state ~= 'running' or ARGV[3] ~= '1' then conclude(job, 'cancelled', {}) end
write_tally()
return 1
