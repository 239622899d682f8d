-- End an attempt unhappily. ARGV: lease, id, error, kind ('retry' or 'final'). Returns 1 when the lease held.
local job = read(ARGV[3])
if not job or job.lease ~= ARGV[2] or job.state ~= 'running' then return 0 end
if ARGV[5] == 'final' then
  conclude(job, 'failed', {error = ARGV[4]})
else
  retry(job, ARGV[4])
end
return 1
