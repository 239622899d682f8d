-- Has every key a life, and does it lead somewhere? ARGV: repair ('1'), keys of the pool without its prefix.
-- Returns {problem, key, …}. A key of others without a life is told and left alone.
local repair = ARGV[2] == '1'
local answer = {}
local function found(problem, name)
  answer[#answer + 1], answer[#answer + 2] = problem, name
  return repair
end

for i = 3, #ARGV do
  local name = ARGV[i]
  local kind, rest = name:match('^([^:]*):?(.*)$')
  if kind == 'idempotency' then
    local id = (call('GET', key(name)) or ''):match('^%S+')
    if id and call('EXISTS', key('job', id)) == 0 and found('key to nowhere', name) then call('DEL', key(name)) end
  end
  if call('PTTL', key(name)) == -1 and found('no life', name) and KINDS[kind] then
    local job = kind == 'job' and read(rest)
    call('PEXPIRE', key(name), job and job.deadline and ttl_of(job) or RECORD_MS)
  end
end
return answer
