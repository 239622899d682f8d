-- End an attempt unhappily. ARGV: lease, id, error, kind ('retry', 'final', or 'unreadable': the request in the record is
-- none, which is no concern of those who follow). Returns 1 when the lease held.
local job = read(ARGV[3])
if not job or job.lease ~= ARGV[2] or job.state ~= 'running' then return 0 end
if ARGV[5] == 'unreadable' then
  put_aside(job)
elseif ARGV[5] == 'final' then
  conclude(job, 'failed', {error = ARGV[4]})
else
  retry(job, ARGV[4])
end
write_tally()
return 1
