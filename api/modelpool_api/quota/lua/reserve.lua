-- Take `price` units under every ceiling, or none at all.
-- ARGV: now, day, price, charge, witness, repeat key or '', fingerprint, ring name or '', rate counter or '', ms a request,
-- burst, then counter and limit ('' for none) in turn.
-- Returns {'ok', now, nth, used…}, {'known', now, nth, used…, charge}, {'over', now, index, used…},
-- {'fast', now, wait}, {'conflict', now} or {'day', now}.
local day, price, charge, witness, again, body, ring, rate = tonumber(ARGV[2]), tonumber(ARGV[3]), unpack(ARGV, 4, 9)
local interval, burst = tonumber(ARGV[10]), tonumber(ARGV[11])
if math.floor(now / DAY_MS) ~= day then return {'day', now} end
local ends = (day + 1) * DAY_MS
local rest = ends - now

local counters, used, answer = {}, {}, {'ok', now, 0}
for i = 12, #ARGV, 2 do counters[#counters + 1] = key('use', day, ARGV[i]) end
if #counters > 0 then
  for i, count in ipairs(call('MGET', unpack(counters))) do
    used[i] = tonumber(count or 0)
    answer[i + 3] = used[i]
  end
end

rate = rate ~= '' and key('rate', rate)
local nth = ring ~= '' and key('ring', day, ring)
if again ~= '' then
  again = key('repeat', again)
  local before = call('GET', again)
  if before then
    -- What another request has paid for is not this one's.
    if (call('HGET', key('charge', before), 'body') or body) ~= body then return {'conflict', now} end
    -- The same request again. It costs no units, but work. (When it is ours, our own reply was lost.)
    if rate and before ~= charge then
      local next_at, early = paced(rate, interval, burst)
      if not next_at then return {'fast', now, early} end
      keep_pace(rate, next_at)
    end
    -- While its job has not been seen it may still be on its way: wait for it anew.
    if call('ZSCORE', key('pending'), before) then
      call('ZADD', key('pending'), now, before)
      call('HSET', key('charge', before), 'shared', 1)
    end
    answer[1] = 'known'
    answer[3] = nth and math.max(0, tonumber(call('GET', nth) or 0) - 1) or 0
    answer[#answer + 1] = before
    return answer
  end
end

local record = key('charge', charge)
if call('EXISTS', record) == 1 then -- our own reply was lost
  answer[3] = nth and math.max(0, tonumber(call('GET', nth) or 0) - 1) or 0
  return answer
end

-- First what comes too fast, then what is too much: a refusal changes nothing.
local next_at, early
if rate then
  next_at, early = paced(rate, interval, burst)
  if not next_at then return {'fast', now, early} end
end
local tightest, left
for i = 1, #counters do
  local limit = tonumber(ARGV[11 + 2 * i])
  if limit and used[i] + price > limit and (not left or limit - used[i] < left) then
    tightest, left = i, limit - used[i]
  end
end
if tightest then
  answer[1], answer[3] = 'over', tightest - 1
  return answer
end

if rate then keep_pace(rate, next_at) end
for i, counter in ipairs(counters) do
  answer[i + 3] = call('INCRBY', counter, price)
  if answer[i + 3] == price then call('PEXPIRE', counter, life(ARGV[10 + 2 * i], rest)) end
end
call('HSET', record, 'price', price, 'state', 'reserved', 'counters', table.concat(counters, ' '), 'witness', witness)
if again ~= '' then
  call('HSET', record, 'repeat', again, 'body', body)
  call('SET', again, charge, 'PX', REPEAT_MS)
end
call('PEXPIRE', record, KEEP_MS)
call('ZADD', key('pending'), now, charge)
call('PEXPIRE', key('pending'), KEEP_MS)
if nth then
  answer[3] = call('INCR', nth) - 1
  if answer[3] == 0 then call('PEXPIRE', nth, rest + 60000) end
end
return answer
