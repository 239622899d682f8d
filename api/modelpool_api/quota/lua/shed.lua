-- Somebody is turned away who might have come in. Nothing is taken; it is demand as long as it would have been paid for.
-- ARGV: now, day, price, an id, rate counter or '', ms a request, burst, then counter and limit ('' for none) in turn.
-- Returns {'ok', now, whether it is demand (1 or 0)}, {'over', now, index, used…}, {'fast', now, wait} or {'day', now}.
local day, price, interval, burst = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[6]), tonumber(ARGV[7])
if math.floor(now / DAY_MS) ~= day then return {'day', now} end
local told = key('told', ARGV[4])
local before = call('GET', told)
if before then return {'ok', now, tonumber(before)} end -- our own reply was lost

local rate, next_at, early = ARGV[5] ~= '' and key('rate', ARGV[5])
if rate then
  next_at, early = paced(call('GET', rate), interval, burst)
  if not next_at then return {'fast', now, early} end
end

local answer, tightest, left, demand = {'over', now, 0}, nil, nil, 1
for i = 8, #ARGV, 2 do
  local used, limit = tonumber(call('GET', key('use', day, ARGV[i])) or 0), tonumber(ARGV[i + 1])
  answer[#answer + 1] = used
  local rest = limit and limit - used
  if rest and rest < price and (not left or rest < left) then tightest, left = (i - 8) / 2, rest end
  if rest and rest < price + tonumber(call('GET', key('shed', day, ARGV[i])) or 0) then demand = 0 end
end
if tightest then
  answer[3] = tightest
  return answer
end

if rate then keep_pace(rate, next_at) end
for i = 8, demand == 1 and #ARGV or 0, 2 do
  local counter = key('shed', day, ARGV[i])
  if ARGV[i + 1] ~= '' and call('INCRBY', counter, price) == price then
    call('PEXPIRE', counter, (day + 1) * DAY_MS - now + 60000)
  end
end
call('SET', told, demand, 'PX', WAIT_MS)
return {'ok', now, demand}
