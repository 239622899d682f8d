-- Give jobs back: no attempt counted, solo or not as before. ARGV: lease, ids. Returns how many were held.
local held = 0
for i = 3, #ARGV do
  local job = read(ARGV[i])
  if job and job.lease == ARGV[2] and job.state == 'running' then
    requeue(job, {})
    held = held + 1
  end
end
return held
