-- Succeed. ARGV: lease, then id and result of each job. Returns 1 or 0 for each: whether the lease held.
-- A repetition of what was done under this lease is answered alike.
local answer, jobs, results = {}, {}, {}
for i = 3, #ARGV, 2 do
  local job = glance(ARGV[i])
  local mine = job.lease == ARGV[2]
  if mine and job.state == 'running' then
    jobs[#jobs + 1], results[#results + 1] = job, ARGV[i + 1]
  end
  answer[#answer + 1] = mine and (job.state == 'running' or job.state == 'succeeded') and 1 or 0
end
if jobs[1] then stop(jobs) end
for i, job in ipairs(jobs) do
  close(job, 'succeeded', {result = results[i]})
  call('SET', key('cache', job.digest), results[i], 'PX', CACHE_MS)
end
return answer
