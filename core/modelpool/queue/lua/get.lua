-- The record: {leader, field, value, …}, nil, or 0 when some of it is missing. ARGV: id.
local job = look(ARGV[2])
if not job then return false end
if not is_sound(job) then return 0 end
local answer = {job.state == 'following' and leader_of(job)}
for field, value in pairs(job) do
  if not field:find('^[berf]%d+$') then -- slices are told with their first one
    answer[#answer + 1] = field
    answer[#answer + 1] = SLICED[field] and whole(job, field) or value
  end
end
return answer
