-- The record: {leader, field, value, …}, nil, or 0 when half of it is missing. ARGV: id.
local job = read(ARGV[2])
if not job then return false end
if not job.body or not (job.ticket or job.finished) then return 0 end
local answer = {job.state == 'following' and leader_of(job)}
for field, value in pairs(job) do
  if not field:find('^[berf]%d+$') then -- slices are told with their first one
    answer[#answer + 1] = field
    answer[#answer + 1] = SLICED[field] and whole(job, field) or value
  end
end
return answer
