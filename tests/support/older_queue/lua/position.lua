-- How many jobs start before this one; a follower stands where its leader does. ARGV: id.
local job = read(ARGV[2])
if job and job.state == 'following' then job = read(leader_of(job) or '') end
return job and ahead(job)
