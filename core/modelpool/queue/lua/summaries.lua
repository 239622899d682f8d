-- What a list shows of jobs. ARGV: ids. Returns their fields one after the other; a job without a record is left out,
-- and so is one of which some is missing: the check puts those aside.
local answer = {}
for i = 2, #ARGV do
  local job = read(ARGV[i])
  if job then
    for _, value in ipairs({job.id, job.state, job.model, job.lane, job.subject, job.work, job.enqueued, job.attempts,
      job.slot or '', job.finished or '', whole(job, 'error') or ''}) do
      answer[#answer + 1] = value
    end
  end
end
return answer
