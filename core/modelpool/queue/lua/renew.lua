-- Keep a lease. ARGV: lease, lease ms, ids. Returns 'held', 'cancelled' or 'lost' for each id.
-- The first write takes something away, so it is admitted, and all that follows, when Redis's memory is full.
local lease, lease_ms = ARGV[2], ARGV[3]
local answer = {}
for i = 4, #ARGV do
  local state, holder, deadline = unpack(call('HMGET', key('job', ARGV[i]), 'state', 'lease', 'deadline'))
  local word = 'lost'
  if holder == lease and state == 'running' and tonumber(deadline or '') then
    call('ZREM', key('due'), ARGV[i])
    add(key('due'), math.min(now + lease_ms, deadline), ARGV[i], ttl_of({deadline = deadline}))
    word = 'held'
  elseif holder == lease and state == 'cancelled' then
    word = 'cancelled'
  end
  answer[#answer + 1] = word
end
return answer
