-- Succeed. ARGV: lease, then id and result of each job. Returns 1 or 0 for each: whether the lease held.
-- A repetition of what was done under this lease is answered alike.
local answer = {}
for i = 3, #ARGV, 2 do
  local job = read(ARGV[i])
  local mine = job and job.lease == ARGV[2]
  if mine and job.state == 'running' then
    conclude(job, 'succeeded', {result = ARGV[i + 1]})
    call('SET', key('cache', job.digest), ARGV[i + 1], 'PX', CACHE_MS)
  end
  answer[#answer + 1] = mine and job.state == 'succeeded' and 1 or 0
end
return answer
