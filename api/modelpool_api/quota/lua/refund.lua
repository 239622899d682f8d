-- Read on in a pool's stream of refunds. ARGV: now, the stream's key. Returns how many entries were read and refunded.
-- Reading, returning and remembering are one step, so that any number of processes refund each charge once.
local position = key('settled', ARGV[2])
local from = call('GET', position)
local entries = call('XRANGE', ARGV[2], from and '(' .. from or '-', '+', 'COUNT', CHUNK)
local refunded = 0
for _, entry in ipairs(entries) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'charge' then refunded = refunded + give_back(entry[2][i + 1], 'refunded') end
  end
  call('SET', position, entry[1], 'PX', KEEP_MS)
end
return {#entries, refunded}
