-- Count one request. KEYS[1] is the prefix. ARGV: how many counters, then key and life in ms of each; then key, member
-- and life in ms of each set. Returns what each counter and each set (about) stands at.
local call = redis.call
local counters, answer = tonumber(ARGV[1]), {}
for i = 2, 2 * counters, 2 do
  local name = KEYS[1] .. ':seen:' .. ARGV[i]
  answer[#answer + 1] = call('INCR', name)
  if answer[#answer] == 1 then call('PEXPIRE', name, ARGV[i + 1]) end
end
for i = 2 * counters + 2, #ARGV, 3 do
  local name = KEYS[1] .. ':seen:' .. ARGV[i]
  call('PFADD', name, ARGV[i + 1])
  if call('PTTL', name) < 0 then call('PEXPIRE', name, ARGV[i + 2]) end
  answer[#answer + 1] = call('PFCOUNT', name)
end
return answer
