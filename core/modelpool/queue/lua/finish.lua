-- Succeed. ARGV: lease, then id, result and digest (as made; empty: as asked) of each job. Returns 1 or 0 for each: whether
-- the lease held.
-- A repetition of what was done under this lease is answered alike.
local answer, jobs, results, made, ids = {}, {}, {}, {}, {}
for i = 3, #ARGV, 3 do
  local job = glance(ARGV[i])
  local mine = job.lease == ARGV[2] and job.digest and job.model
  if mine and job.state == 'running' then
    jobs[#jobs + 1], results[#results + 1], ids[#ids + 1] = job, ARGV[i + 1], job.id
    made[#made + 1] = ARGV[i + 2] ~= '' and ARGV[i + 2] or job.digest
  end
  answer[#answer + 1] = mine and (job.state == 'running' or job.state == 'succeeded') and 1 or 0
end
if not jobs[1] then return answer end
stop(jobs)
local alone = not has_followers(unpack(ids))
for i, job in ipairs(jobs) do
  close(job, 'succeeded', {result = results[i]}, alone)
  call('SET', key('cache', made[i]), results[i], 'PX', CACHE_MS)
end
write_tally()
return answer
